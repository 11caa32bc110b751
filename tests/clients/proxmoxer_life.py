"""The whole life of a machine, and what is refused in between, by proxmoxer as PyPI has it.

Arguments: port, file with the certificate, token id, token secret. Says `ok` at the end.
"""

import sys
import urllib.parse

from proxmoxer import ProxmoxAPI
from proxmoxer.core import ResourceException
from proxmoxer.tools import Tasks

port, certificate, token_id, secret = sys.argv[1:]
user, token_name = token_id.split("!")
api = ProxmoxAPI(
    "127.0.0.1", port=int(port), user=user, token_name=token_name, token_value=secret, verify_ssl=certificate, timeout=20
)


def refused(call, status, words):
    """The call is refused with this status and these words."""
    try:
        call()
    except ResourceException as error:
        assert error.status_code == status, (error.status_code, error)
        assert words in str(error), str(error)
        return
    raise AssertionError(f"not refused: {words}")


def done(upid):
    """The task of this name ends well."""
    assert len(upid.split(":")) == 9, upid
    assert Tasks.decode_upid(upid)["node"] == "pve1"
    status = Tasks.blocking_status(api, upid, timeout=20, polling_interval=0.05)
    assert status["status"] == "stopped" and status["exitstatus"] == "OK", status


assert api.version.get()["release"] == "9.2"
node = api.nodes("pve1")
template = node.qemu(9000)
assert template.config.get()["template"] == 1

vmid = int(api.cluster.nextid.get())
refused(lambda: api.cluster.nextid.get(vmid=9000), 400, "VM 9000 already exists")
refused(lambda: template.clone.post(newid=9000, pool="builds"), 500, "config file already exists")
refused(lambda: template.clone.post(newid=vmid, name="no_host_name"), 400, "name")
refused(lambda: template.clone.post(newid=vmid, tags="x"), 400, "tags")
refused(lambda: template.clone.post(newid=vmid, pool="builds", storage="local-lvm"), 400, "full clones")
done(template.clone.post(newid=vmid, name="life", pool="builds", description="of a test"))

vm = node.qemu(vmid)
keys = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH a+b@c"
refused(lambda: vm.config.put(sshkeys=keys), 400, "sshkeys")
refused(lambda: vm.config.put(nonsense=1), 400, "nonsense")
refused(lambda: vm.config.put(cores=2, digest="0" * 40), 500, "detected modified configuration")
done(
    vm.config.post(
        cores=2,
        memory=2048,
        ciuser="root",
        sshkeys=urllib.parse.quote(keys, safe=""),
        ipconfig0="ip=dhcp",
        tags="one;two",
        agent=1,
        protection=1,
    )
)
config = vm.config.get()
assert (config["cores"], config["memory"], config["tags"], config["description"]) == (2, "2048", "one;two", "of a test"), config
assert urllib.parse.unquote(config["sshkeys"]) == keys
done(vm.resize.put(disk="scsi0", size="20G"))

refused(lambda: vm.agent("network-get-interfaces").get(), 500, "not running")
done(vm.status.start.post())
assert vm.status.current.get()["status"] == "running"
refused(lambda: vm.status.start.post(), 500, "already running")
refused(lambda: vm.delete(), 500, "protection mode enabled")
vm.config.put(protection=0)
refused(lambda: vm.delete(), 500, "is running - destroy failed")
seen = [entry for entry in api.cluster.resources.get(type="vm") if entry["vmid"] == vmid]
assert len(seen) == 1 and seen[0]["pool"] == "builds" and seen[0]["status"] == "running", seen
done(vm.status.stop.post())
done(vm.delete(purge=1))
refused(lambda: vm.config.get(), 500, f"Configuration file 'nodes/pve1/qemu-server/{vmid}.conf' does not exist")
print("ok")
