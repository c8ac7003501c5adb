//! Reports of made-up runs.

use super::super::scenario;
use super::super::switches::ALL;
use super::*;

fn machine() -> Machine {
    Machine { kernel: "6.18.0".into(), cpus: 2, cpu: None, version: "0.1.0", repeat: 3, seconds: 1.0 }
}

fn result(scenario: &str, switch: &str, rounds: &[&[Option<f64>]]) -> Result {
    Result {
        scenario: scenario::all().into_iter().find(|s| s.name == scenario).unwrap(),
        switch: ALL.iter().find(|s| s.name == switch).unwrap(),
        rounds: rounds.iter().map(|r| r.to_vec()).collect(),
        note: None,
    }
}

fn tcp(switch: &str, rates: [f64; 3]) -> Result {
    let rounds = rates.map(|rate| vec![Some(rate), Some(0.25), Some(0.5), Some(20.0)]);
    result("tcp-1", switch, &[&rounds[0], &rounds[1], &rounds[2]])
}

fn absent(switch: &str) -> Result {
    Result {
        note: Some(Note::Absent("not installed: apt-get install vde2".into())),
        ..result("tcp-1", switch, &[])
    }
}

fn run() -> Vec<Result> {
    let kernel: &[Option<f64>] = &[Some(30.0), None, Some(0.4), None];
    let trips: &[Option<f64>] = &[Some(50.0), Some(100.0), Some(0.0)];
    let slow: &[Option<f64>] = &[Some(80.0), Some(1234.2), Some(0.0)];
    vec![
        tcp("dcbridge", [20.0, 18.0, 19.0]),
        tcp("loop-poll", [2.0, 2.0, 2.0]),
        tcp("loop-vnet", [25.0, 20.0, 23.75]),
        result("tcp-1", "kernel-bridge", &[kernel]),
        absent("vde"),
        result("rtt-idle", "dcbridge", &[slow]),
        result("rtt-idle", "loop-vnet", &[trips]),
    ]
}

#[test]
fn tables_are_sorted_by_what_is_better_and_align() {
    let expected = "\
dcbridge 0.1.0 on Linux 6.18.0, 2 processors; medians of 3 rounds of 1 s in turns

TCP, one stream  tcp-1 (more is better)
switch         Gbit/s    from - to  of dcbridge  of loop-vnet  CPU s/GB  all CPU s/GB  RSS MB
kernel-bridge    30.0  30.0 - 30.0         1.50             -         -          0.40       -
loop-vnet        23.8  20.0 - 25.0         1.25          1.00      0.25          0.50    20.0
dcbridge         19.0  18.0 - 20.0         1.00          0.80      0.25          0.50    20.0
loop-poll        2.00  2.00 - 2.00         0.11          0.08      0.25          0.50    20.0
vde                 -                         -             -         -             -       -
vde: not installed: apt-get install vde2
Where the kernel is the switch, its senders pay: only `all CPU` can be compared.

Round trips of 64-byte frames, alone  rtt-idle (less is better)
switch     p50 us    from - to  of dcbridge  of loop-vnet  p99 us  lost %
loop-vnet    50.0  50.0 - 50.0         0.62          1.00     100    0.00
dcbridge     80.0  80.0 - 80.0         1.00          1.60   1 234    0.00
";
    assert_eq!(tables(&machine(), &run(), Canvas::PLAIN), expected);
}

#[test]
fn a_narrow_terminal_keeps_names_figures_and_our_ratio() {
    let text = tables(&machine(), &run(), Canvas { color: false, width: Some(40) });
    assert!(text.contains("\nloop-vnet        23.8         1.25\n"), "{text}");
}

#[test]
fn json_has_a_row_for_each_figure_and_for_who_has_none() {
    let report: serde_json::Value = serde_json::from_str(&json(&machine(), &run())).unwrap();
    assert_eq!(report["machine"]["cpus"], 2);
    let rows = report["rows"].as_array().unwrap();
    let row = |switch: &str, quantity: &str| {
        rows.iter().find(|r| r["switch"] == switch && r["quantity"] == quantity).unwrap()
    };
    let ours = row("dcbridge", "rate");
    assert_eq!((ours["value"].as_f64(), ours["unit"].as_str()), (Some(19.0), Some("Gbit/s")));
    assert_eq!(ours["ratio_to"]["loop-vnet"], 0.8);
    assert_eq!(ours["ratio_to"]["loop-poll"], 9.5);
    assert!(ours["ratio_to"].get("dcbridge").is_none() && ours["ratio_to"].get("vde").is_none(), "{ours}");
    assert_eq!(
        (ours["min"].as_f64(), ours["max"].as_f64(), ours["n"].as_u64()),
        (Some(18.0), Some(20.0), Some(3))
    );
    let absent = row("vde", "rate");
    assert!(absent["value"].is_null() && absent["note"].as_str().unwrap().contains("apt-get install vde2"));
    assert!(
        !rows.iter().any(|r| r["switch"] == "kernel-bridge" && r["quantity"] == "cpu"),
        "no figure, no row"
    );
    assert_eq!(rows.len(), 3 * 4 + 2 + 1 + 2 * 3);
}

#[test]
fn what_failed_is_told_from_what_is_not_there() {
    let mut failed = absent("ovs");
    assert!(failed.is_good());
    failed.note = Some(Note::Failed("no frame crosses it".into()));
    assert!(!failed.is_good());
    assert!(tables(&machine(), &[failed], Canvas::PLAIN).contains("ovs: no frame crosses it"));
}
