//! `fourtuple child experiment`, spoken to as the command does.

mod common;

use common::fourtuple;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::process::{Child, Stdio};

/// A port range of as many ports as these tests open connections, in a network of their own.
const PORTS: u64 = 20;

fn start(request: &Value) -> Child {
    let mut child = fourtuple()
        .args(["child", "experiment"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let input = child.stdin.as_mut().unwrap();
    writeln!(input, "{request}").unwrap();
    child
}

/// What came of it; `None` where no network is granted.
fn answer(request: &Value) -> Option<Value> {
    let mut child = start(request);
    let mut text = String::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    child.wait().unwrap();
    let answer: Value = serde_json::from_str(&text).unwrap();
    if let Some(reason) = answer["refused"].as_str() {
        assert!(
            reason.contains("unshare")
                || reason.contains("user.max")
                || reason.contains("brought up"),
            "{reason}"
        );
        return None;
    }
    Some(answer)
}

fn done(request: &Value) -> Option<Value> {
    Some(answer(request)?["done"].clone())
}

fn request(source: &Value, destinations: u8) -> Value {
    let attempts: Vec<Value> = (1..=destinations)
        .map(|last| {
            json!({
                "source": source,
                "destination": format!("127.0.0.{last}:7001"),
                "connections_max": PORTS + 1,
            })
        })
        .collect();
    json!({
        "sysctls": { "net.ipv4.ip_local_port_range": format!("20000 {}", 20_000 + PORTS - 1) },
        "ports": [7001],
        "attempts": attempts,
    })
}

fn opened(done: &Value) -> Vec<u64> {
    let attempts = done["attempts"].as_array().unwrap();
    attempts
        .iter()
        .map(|attempt| attempt["opened"].as_u64().unwrap())
        .collect()
}

#[test]
fn a_range_of_n_ports_gives_n_connections_to_each_destination() {
    for source in [json!("kernel"), json!({ "port-at-connect": "127.0.0.1" })] {
        let Some(done) = done(&request(&source, 3)) else {
            return;
        };
        assert_eq!(opened(&done), [PORTS; 3], "{source}");
        assert_eq!(done["proved"], 3 * PORTS);
        let client = &done["censuses"][0]["client"];
        assert_eq!(client["four_tuples"], 3 * PORTS);
        assert_eq!(client["local_ports"], PORTS);
        assert_eq!(client["local_addresses"], 1);
        for attempt in done["attempts"].as_array().unwrap() {
            let refusal = json!({ "step": "connect", "errno": "EADDRNOTAVAIL" });
            assert_eq!(attempt["refusal"], refusal);
        }
    }
}

#[test]
fn bind_to_port_0_brings_one_range_for_all_destinations() {
    let Some(done) = done(&request(&json!({ "port-at-bind": "127.0.0.1" }), 3)) else {
        return;
    };
    assert_eq!(opened(&done), [PORTS, 0, 0]);
    let refusal = json!({ "step": "bind", "errno": "EADDRINUSE" });
    assert_eq!(done["attempts"][2]["refusal"], refusal);
}

#[test]
fn what_breaks_off_is_told_from_what_is_refused() {
    let mut request = request(&json!("kernel"), 1);
    request["attempts"][0]["destination"] = json!("127.0.0.1:7002");
    let Some(answer) = answer(&request) else {
        return;
    };
    assert_eq!(answer["failed"], "nobody listens on 7002", "{answer}");
}

#[test]
fn what_is_no_request_is_not_tried() {
    let child = start(&json!("no request"));
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(output.stdout.is_empty());
}
