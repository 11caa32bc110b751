//! `…/config` and `…/resize`: what a machine is set to.

use std::collections::BTreeMap;

use serde_json::Value;

use super::answer::Refused;
use super::api::{Api, Asked};
use super::params::{percent_decode, unknown};
use super::vm::Vm;

/// The privileges that settings need.
const PRIVILEGES: &[(&str, &[&str])] = &[
    ("VM.Config.CPU", &["cores", "sockets", "cpu"]),
    ("VM.Config.Memory", &["memory", "balloon"]),
    ("VM.Config.Options", &["agent", "onboot", "protection", "tags", "description", "name"]),
    ("VM.Config.Cloudinit", &["ciuser", "sshkeys", "ipconfig0", "nameserver", "ciupgrade", "cipassword"]),
];

impl Api {
    pub(super) fn config(&self, node: &str, vmid: u32, mut asked: Asked) -> Result<Value, Refused> {
        asked.params.switch("current")?;
        asked.params.end()?;
        let state = self.state();
        let vm = state.vm(node, vmid)?;
        state.acl.need_on_vm(vmid, vm.pool.as_deref(), "VM.Audit")?;
        Ok(vm.shown())
    }

    /// `POST` is a task, `PUT` is done when it answers.
    pub(super) fn configure(&self, node: &str, vmid: u32, mut asked: Asked, is_task: bool) -> Result<Value, Refused> {
        let digest = asked.params.take("digest");
        let delete = asked.params.take("delete");
        let changes = asked.params.rest();
        for (name, value) in &changes {
            check(name, value)?;
        }
        let now = self.0.core.clock.now();
        let mut state = self.state();
        let vm = state.vm(node, vmid)?.clone();
        let touched = changes.keys().map(String::as_str).chain(delete.iter().flat_map(|names| names.split(',')));
        for name in touched {
            let privilege = PRIVILEGES
                .iter()
                .find(|(_, names)| names.contains(&name))
                .map_or("VM.Config.Options", |(found, _)| found);
            state.acl.need_on_vm(vmid, vm.pool.as_deref(), privilege)?;
        }
        let vm = state.unlocked(node, vmid)?;
        if digest.is_some_and(|digest| digest != vm.digest()) {
            return Err(Refused::fault("detected modified configuration - file changed by other user? Try again."));
        }
        change(vm, changes, delete.as_deref());
        if !is_task {
            return Ok(Value::Null);
        }
        let (upid, stop) = state.tasks.begin(node, "qmconfig", &vmid.to_string(), &asked.user, now);
        drop(state);
        self.run(upid.clone(), stop, asked.struck, |_, failed| async move { failed.map_or(Ok(()), Err) });
        Ok(upid.into())
    }

    pub(super) fn resize(&self, node: &str, vmid: u32, mut asked: Asked) -> Result<Value, Refused> {
        let (disk, size) = (asked.params.need("disk")?, asked.params.need("size")?);
        asked.params.end()?;
        let wrong = || Refused::parameter("size", "value does not match the regex pattern");
        let wanted: u64 = size.strip_suffix('G').and_then(|digits| digits.parse().ok()).ok_or_else(wrong)?;
        let now = self.0.core.clock.now();
        let mut state = self.state();
        let pool = state.vm(node, vmid)?.pool.clone();
        state.acl.need_on_vm(vmid, pool.as_deref(), "VM.Config.Disk")?;
        let vm = state.unlocked(node, vmid)?;
        let value = vm.get(&disk).ok_or_else(|| Refused::fault(format!("disk '{disk}' does not exist")))?.to_owned();
        let (volume, is) = value.rsplit_once(",size=").unwrap_or((&value, "0G"));
        if is.trim_end_matches('G').parse::<u64>().unwrap_or_default() > wanted {
            return Err(Refused::fault("shrinking disks is not supported"));
        }
        vm.config.insert(disk, format!("{volume},size={wanted}G"));
        let (upid, stop) = state.tasks.begin(node, "resize", &vmid.to_string(), &asked.user, now);
        drop(state);
        self.run(upid.clone(), stop, asked.struck, |_, failed| async move { failed.map_or(Ok(()), Err) });
        Ok(upid.into())
    }
}

fn change(vm: &mut Vm, changes: BTreeMap<String, String>, delete: Option<&str>) {
    vm.config.extend(changes);
    for name in delete.into_iter().flat_map(|names| names.split(',')) {
        vm.config.remove(name);
    }
}

/// The format of one setting.
fn check(name: &str, value: &str) -> Result<(), Refused> {
    let number = |least: u64, most: u64| value.parse().is_ok_and(|number: u64| (least..=most).contains(&number));
    let fits = match name {
        "cores" => number(1, 1024),
        "sockets" => number(1, 4),
        "memory" => number(16, 4_178_944),
        "balloon" => number(0, 4_178_944),
        "onboot" | "protection" | "ciupgrade" => matches!(value, "0" | "1"),
        "agent" => matches!(value, "0" | "1") || value.starts_with("enabled="),
        "ciuser" => !value.is_empty() && !value.contains(char::is_whitespace),
        "description" => value.len() <= 8192,
        "name" => !value.is_empty(),
        "tags" => value.split(';').all(is_tag),
        "ipconfig0" => value == "ip=dhcp" || value.starts_with("ip="),
        "sshkeys" => return ssh_keys(value).map(drop),
        _ => return Err(unknown(name)),
    };
    if fits { Ok(()) } else { Err(Refused::parameter(name, format!("invalid format - got '{value}'"))) }
}

fn is_tag(tag: &str) -> bool {
    tag.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && tag.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-+.".contains(c))
}

/// The keys in the setting `sshkeys`, which is percent-encoded besides the encoding of the form.
pub(super) fn ssh_keys(value: &str) -> Result<Vec<String>, Refused> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "%-_.!~*'()".contains(c);
    let decoded = Some(value).filter(|value| value.chars().all(is_plain)).and_then(percent_decode);
    let decoded = decoded.ok_or_else(|| Refused::parameter("sshkeys", "invalid format - invalid urlencoded string"))?;
    let keys: Vec<String> = decoded.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    match keys.iter().all(|key| key.starts_with("ssh-") || key.starts_with("ecdsa-")) {
        true => Ok(keys),
        false => Err(Refused::fault("SSH public key validation error")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_have_formats() {
        for (name, value) in
            [("cores", "2"), ("memory", "4096"), ("tags", "lian-build;lb-0"), ("sshkeys", "ssh-ed25519%20AAAA%2B")]
        {
            check(name, value).unwrap();
        }
        for (name, value) in [
            ("cores", "0"),
            ("memory", "4.5"),
            ("tags", "Upper"),
            ("sshkeys", "ssh-ed25519 AAAA"),
            ("sshkeys", "x"),
            ("full", "1"),
        ] {
            assert!(check(name, value).is_err(), "{name}={value}");
        }
    }
}
