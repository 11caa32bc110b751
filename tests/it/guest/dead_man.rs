//! A leased machine whose caller is gone with everything that would have cleaned up after it.

use lian_build::lease::{Holder, Journal};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::cloud::GuestCloud;
use super::world::figure;
use crate::support::Gate;

#[test]
#[ignore = "minutes in a machine without acceleration: ci/faults guest"]
fn a_leased_machine_ends_by_itself_and_a_sweep_ends_its_bill() {
    let (cloud, gate) = (GuestCloud::new(), Gate::new());
    cloud.sandbox.dockerfile_on_base(&format!("RUN {}", gate.wait_in_guest()));
    let mut running = cloud.sandbox.start(&mut cloud.build(&[("cx23", 2.0)], ""));
    let step = gate.reached(&mut running);
    let (door, server) = (cloud.door(), cloud.server());
    // Its own clock and the caller's word say how long it may stand.
    let soft = door.says("cat /var/lib/lian-build/expires").parse::<i64>().unwrap();
    let hard = door.says("cat /etc/lian-build/hard-deadline").parse::<i64>().unwrap();
    assert!(soft < hard, "{soft} {hard}");

    let (records, unreadable) = Journal::new(&cloud.sandbox.state()).read().unwrap();
    assert!(unreadable.is_empty() && records.len() == 1, "{records:?} {unreadable:?}");
    let reaper = records[0].record.reaper.as_ref().map(Holder::pid).unwrap();
    running.signal(Signal::STOP);
    kill_process(Pid::from_raw(i32::try_from(reaper).unwrap()).unwrap(), Signal::KILL).unwrap();
    running.signal(Signal::KILL);
    assert_eq!(running.wait_unchecked().code, -1);
    assert_eq!(cloud.server().id, server.id);

    // Nobody is left who could renew it: its last moment comes.
    door.says("echo 1 >/etc/lian-build/hard-deadline");
    let told = cloud.seconds();
    cloud.wait_until_off();
    let off = cloud.seconds() - told;
    assert!(cloud.consoles().contains("reboot: Power down"), "{}", cloud.consoles());
    drop(step);

    // It is off, and paid for: only a DELETE ends that.
    assert_eq!(cloud.paid_for(), 1);
    let swept = cloud.sandbox.start(&mut cloud.command(&["runners", "gc", "--provider=hcloud", "--format=json"]));
    let swept: Value = swept.wait().assert_code(0).envelope();
    let item = &swept["items"][0];
    assert_eq!((&item["lease_id"], &item["action"]), (&json!(server.name), &json!("removed")), "{swept}");
    cloud.assert_paid_and_gone(1);
    figure(&format!("a leased machine whose caller is gone: off {off} s after its hard deadline"));
}
