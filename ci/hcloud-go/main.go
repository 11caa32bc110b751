// The whole life of a server through the official Go client, unmodified: hcloud-go URL TOKEN
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/hetznercloud/hcloud-go/v2/hcloud"
)

const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFJO2pT7m2GqQ2Gv2o0w7j0m2Zl0GJ5Vq2oQ0o0Xw0aB go@client"

func main() {
	if err := life(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "hcloud-go:", err)
		os.Exit(1)
	}
}

func life(url, token string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	client := hcloud.NewClient(hcloud.WithEndpoint(url), hcloud.WithToken(token))
	image, _, err := client.Image.GetForArchitecture(ctx, "debian-12", hcloud.ArchitectureARM)
	if err != nil {
		return err
	}
	sshKey, _, err := client.SSHKey.Create(ctx, hcloud.SSHKeyCreateOpts{Name: "go", PublicKey: key})
	if err != nil {
		return err
	}
	opts := hcloud.ServerCreateOpts{
		Name:       "go-1",
		ServerType: &hcloud.ServerType{Name: "cax21"},
		Image:      image,
		Location:   &hcloud.Location{Name: "hel1"},
		SSHKeys:    []*hcloud.SSHKey{sshKey},
		Labels:     map[string]string{"client": "go"},
		UserData:   "#cloud-config\n{}\n",
	}
	made, _, err := client.Server.Create(ctx, opts)
	if err != nil {
		return err
	}
	if err := client.Action.WaitFor(ctx, append(made.NextActions, made.Action)...); err != nil {
		return err
	}
	if _, _, err := client.Server.Create(ctx, opts); !hcloud.IsError(err, hcloud.ErrorCodeUniquenessError) {
		return fmt.Errorf("two servers of one name: %v", err)
	}
	listed, err := client.Server.AllWithOpts(ctx, hcloud.ServerListOpts{ListOpts: hcloud.ListOpts{LabelSelector: "client==go"}})
	if err != nil {
		return err
	}
	if len(listed) != 1 || listed[0].Status != hcloud.ServerStatusRunning || listed[0].Location.Name != "hel1" {
		return fmt.Errorf("not the server that was made: %v", listed)
	}
	deleted, _, err := client.Server.DeleteWithResult(ctx, listed[0])
	if err != nil {
		return err
	}
	if err := client.Action.WaitFor(ctx, deleted.Action); err != nil {
		return err
	}
	if gone, _, err := client.Server.GetByID(ctx, listed[0].ID); err != nil || gone != nil {
		return fmt.Errorf("a deleted server is there: %v %v", gone, err)
	}
	_, err = client.SSHKey.Delete(ctx, sshKey)
	return err
}
