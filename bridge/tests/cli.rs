//! The program as a person runs it: what it prints, where, and with which exit code. Ports are streams on Unix sockets
//! in a directory of the test, so no privilege is needed and nothing outside is touched.

#![allow(clippy::unwrap_used, reason = "a test that can't set up its bench fails")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

fn dcbridge(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dcbridge"));
    command.args(args).stdin(Stdio::null()).env_remove("NO_COLOR");
    command
}

fn output(args: &[&str]) -> Output {
    dcbridge(args).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A directory with the configuration of a switch, and what is started on it.
struct Bench {
    directory: TempDir,
}

impl Bench {
    fn new() -> Bench {
        Bench { directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.directory.path().join(file)
    }

    fn socket(&self) -> String {
        self.path("br0.sock").display().to_string()
    }

    /// Writes a configuration; `metrics` is the value of `listen`.
    fn config(&self, metrics: &str) -> String {
        let at = self.directory.path().display();
        self.write(&format!(
            r#"
            [bridge]
            name = "br0"
            control_socket = "{at}/br0.sock"
            [metrics]
            listen = "{metrics}"
            [[traffic_class]]
            name = "bulk"
            priorities = [0, 1, 2, 3, 4, 5]
            tsa = "ets"
            bandwidth = 100
            [[traffic_class]]
            name = "urgent"
            priorities = [6, 7]
            tsa = "strict"
            [[port]]
            name = "left"
            type = "stream"
            listen = "unix:{at}/left.sock"
            [[port]]
            name = "right"
            type = "stream"
            listen = "unix:{at}/right.sock"
            "#
        ))
    }

    fn write(&self, text: &str) -> String {
        let file = self.path("br0.toml");
        std::fs::write(&file, text).unwrap();
        file.display().to_string()
    }

    fn start(&self, metrics: &str) -> Running {
        let file = self.config(metrics);
        let mut child =
            dcbridge(&["run", &file]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut reader = BufReader::new(child.stdout.take().unwrap());
        let mut banner = String::new();
        while !banner.contains("Ctrl-C ends it.") {
            assert!(reader.read_line(&mut banner).unwrap() > 0, "the switch ended early: {banner}");
        }
        Running { child, reader, banner }
    }
}

/// A running switch, ended with the test.
struct Running {
    child: Child,
    reader: BufReader<std::process::ChildStdout>,
    banner: String,
}

impl Running {
    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }

    /// Ends it by a signal; answers the exit code and what it printed after the banner.
    fn end(&mut self, signal: Signal) -> (Option<i32>, String) {
        self.signal(signal);
        let mut rest = String::new();
        self.reader.read_to_string(&mut rest).unwrap();
        (wait(&mut self.child), rest)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn wait(child: &mut Child) -> Option<i32> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        assert!(Instant::now() < deadline, "the process ends within 10 s");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_right_configuration_is_ok() {
    let bench = Bench::new();
    let answer = output(&["check", &bench.config("off")]);
    assert_eq!(answer.status.code(), Some(0), "{}", stderr(&answer));
    assert_eq!(stdout(&answer), "ok: switch br0 with 2 ports, 2 traffic classes and 0 policies\n");
}

#[test]
fn a_wrong_configuration_is_shown_and_fails_check_and_run_alike() {
    let bench = Bench::new();
    let text = std::fs::read_to_string(bench.config("off")).unwrap().replace("bandwidth", "bandwith");
    let file = bench.write(&text);
    let checked = output(&["check", &file]);
    assert_eq!(checked.status.code(), Some(1));
    assert!(stdout(&checked).contains("did you mean `bandwidth`?"), "{}", stdout(&checked));
    let ran = output(&["run", &file]);
    assert_eq!(ran.status.code(), Some(1));
    assert_eq!(stderr(&ran), stdout(&checked));

    let json = output(&["check", "--json", &file]);
    assert_eq!(json.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(report["ok"], false);
    assert_eq!(report["errors"], report["diagnostics"].as_array().unwrap().len());
    let line = 1 + text.lines().position(|line| line.contains("bandwith")).unwrap();
    assert_eq!(report["diagnostics"][0]["place"]["line"], line);
}

#[test]
fn warnings_are_shown_and_are_no_failure() {
    let bench = Bench::new();
    let text = std::fs::read_to_string(bench.config("off")).unwrap() + "[map]\nrewrite_dscp = { 0 = 8 }\n";
    let file = bench.write(&text);
    let answer = output(&["check", &file]);
    assert_eq!(answer.status.code(), Some(0), "{}", stdout(&answer));
    assert!(stdout(&answer).contains("warning") && stdout(&answer).contains("ok: "), "{}", stdout(&answer));
}

#[test]
fn a_file_that_can_not_be_read_is_named() {
    let answer = output(&["check", "/nonexistent/br0.toml"]);
    assert_eq!(answer.status.code(), Some(1));
    assert!(
        stderr(&answer).starts_with("error: there is no file /nonexistent/br0.toml"),
        "{}",
        stderr(&answer)
    );

    let bench = Bench::new();
    std::fs::write(bench.path("x.toml"), b"a = 1\nb = \"\xff\"\n").unwrap();
    let answer = output(&["check", &bench.path("x.toml").display().to_string()]);
    assert_eq!(answer.status.code(), Some(1));
    assert!(stderr(&answer).contains("not UTF-8 text (line 2)"), "{}", stderr(&answer));
}

#[test]
fn standard_input_is_a_file_as_well() {
    let mut child = dcbridge(&["check", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"[bridg]\n").unwrap();
    let answer = child.wait_with_output().unwrap();
    assert_eq!(answer.status.code(), Some(1));
    assert!(stdout(&answer).contains("<stdin>:1:"), "{}", stdout(&answer));
}

#[test]
fn a_file_without_end_is_refused() {
    let answer = output(&["check", "/dev/zero"]);
    assert_eq!(answer.status.code(), Some(1));
}

#[test]
fn schema_and_reference_are_what_the_configuration_says_of_itself() {
    let schema: Value = serde_json::from_slice(&output(&["schema"]).stdout).unwrap();
    assert!(schema["properties"]["traffic_class"].is_object(), "{schema}");
    let reference = output(&["reference"]);
    assert_eq!(reference.status.code(), Some(0));
    let page =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md")).unwrap();
    assert_eq!(stdout(&reference), page);
}

#[test]
fn wrong_usage_is_2() {
    for args in [
        &["show", "--bogus"][..],
        &["bogus"],
        &[],
        &["show", "--json", "--watch"],
        &["--log", "loud", "show"],
    ] {
        assert_eq!(output(args).status.code(), Some(2), "{args:?}");
    }
    assert_eq!(output(&["--help"]).status.code(), Some(0));
    assert_eq!(output(&["--version"]).status.code(), Some(0));
}

#[test]
fn headroom_answers_whether_it_suffices() {
    let bench = Bench::new();
    let of = |extra: &str| {
        let lossless = std::fs::read_to_string(bench.config("off")).unwrap();
        let lossless = lossless.replace("tsa = \"strict\"", "tsa = \"strict\"\nlossless = true") + extra;
        let file = bench.write(&lossless);
        (output(&["headroom", &file]), output(&["headroom", "--json", &file]))
    };
    let (text, json) = of("");
    assert_eq!((text.status.code(), json.status.code()), (Some(0), Some(0)), "{}", stderr(&text));
    assert!(stdout(&text).contains("= buffer"), "{}", stdout(&text));
    let report: Value = serde_json::from_slice(&json.stdout).unwrap();
    let names: Vec<_> =
        report["groups"].as_array().unwrap().iter().map(|g| (&g["port"], &g["priority"])).collect();
    assert_eq!(names.len(), 4, "two priorities at two ports");

    let (text, json) = of("headroom = \"10KB\"\n");
    assert_eq!((text.status.code(), json.status.code()), (Some(1), Some(1)));
    assert!(stdout(&text).contains("too small"), "{}", stdout(&text));

    // `check` refuses it, but the sum is what a person wants to see then.
    let (text, json) = of("line_rate = \"400Gbit\"\n");
    assert_eq!(text.status.code(), Some(1));
    assert!(stdout(&text).contains("missing"), "{}", stdout(&text));
    let report: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((&report["suffices"], &report["buffer"]["shared_bytes"]), (&Value::Bool(false), &Value::Null));

    let (text, _) = of("bandwith = 3\n");
    assert_eq!((text.status.code(), stdout(&text).as_str()), (Some(1), ""));
    assert!(stderr(&text).contains("unknown key"), "{}", stderr(&text));
}

#[test]
fn colour_is_written_only_when_wanted() {
    let bench = Bench::new();
    let file = bench.config("off");
    let escapes = |args: &[&str]| stdout(&output(args)).contains('\u{1b}');
    assert!(!escapes(&["check", &file]), "a pipe gets no colour");
    assert!(escapes(&["--color", "always", "check", &file]));
    assert!(escapes(&["check", &file, "--color", "always"]), "the option may stand anywhere");
    assert!(!escapes(&["--color", "never", "check", &file]));
    let forced = dcbridge(&["--color", "always", "check", &file]).env("NO_COLOR", "1").output().unwrap();
    assert!(stdout(&forced).contains('\u{1b}'), "an option goes before the environment");
}

#[test]
fn without_a_switch_show_says_how_to_start_one() {
    let bench = Bench::new();
    let answer = output(&["show", "--socket", &bench.socket()]);
    assert_eq!(answer.status.code(), Some(1));
    let expected =
        format!("error: no switch answers at {}; start one with `dcbridge run FILE`\n", bench.socket());
    assert_eq!(stderr(&answer), expected);
}

#[test]
fn a_switch_runs_answers_and_ends() {
    let bench = Bench::new();
    let mut switch = bench.start("off");
    assert!(switch.banner.contains("left") && switch.banner.contains("urgent"), "{}", switch.banner);

    let shown = |args: &[&str]| {
        let answer = output(&[args, &["--socket", &bench.socket()]].concat());
        assert_eq!(answer.status.code(), Some(0), "{args:?}: {}", stderr(&answer));
        stdout(&answer)
    };
    assert!(shown(&["show"]).contains("right"));
    for what in ["ports", "classes", "fdb", "drops", "queues"] {
        assert!(!shown(&["show", what]).is_empty(), "{what}");
        let json: Value = serde_json::from_str(&shown(&["show", what, "--json"])).unwrap();
        assert!(json.is_array() || json.is_object(), "{what}");
    }
    let state: Value = serde_json::from_str(&shown(&["show", "--json"])).unwrap();
    assert_eq!(state["ports"][0]["name"], "left");

    let (code, rest) = switch.end(Signal::SIGINT);
    assert_eq!(code, Some(0), "{rest}");
    assert!(rest.contains("Switch br0 ran for") && rest.contains("left"), "{rest}");
    assert!(!bench.path("br0.sock").exists(), "the socket leaves with its switch");
}

#[test]
fn sigterm_ends_a_switch_as_well() {
    let bench = Bench::new();
    let (code, rest) = bench.start("off").end(Signal::SIGTERM);
    assert_eq!(code, Some(0), "{rest}");
}

#[test]
fn a_second_start_names_the_switch_that_runs_and_leaves_it_alone() {
    let bench = Bench::new();
    let first = bench.start("off");
    let second = output(&["run", &bench.config("off")]);
    assert_eq!(second.status.code(), Some(1));
    let said = stderr(&second);
    assert!(said.contains(&format!("the switch \"br0\" (process {})", first.child.id())), "{said}");
    assert_eq!(output(&["show", "--socket", &bench.socket()]).status.code(), Some(0));
}

#[test]
fn a_switch_starts_again_after_a_kill() {
    let bench = Bench::new();
    let mut first = bench.start("off");
    first.child.kill().unwrap();
    first.child.wait().unwrap();
    assert!(bench.path("br0.sock").exists(), "a killed switch can't tidy up");
    bench.start("off");
}

#[test]
fn a_taken_metrics_address_says_what_to_change() {
    let bench = Bench::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let answer = output(&["run", &bench.config(&address.to_string())]);
    assert_eq!(answer.status.code(), Some(1));
    let said = stderr(&answer);
    assert!(said.contains(&format!("{address} is taken")) && said.contains("`[metrics]`"), "{said}");
    assert!(!bench.path("br0.sock").exists(), "a switch that did not start leaves no socket");
}

#[test]
fn metrics_and_page_are_where_the_banner_says() {
    let bench = Bench::new();
    // A port that was free a moment ago: somebody else may take it in between, which the start then reports.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let switch = bench.start(&free.to_string());
    assert!(switch.banner.contains(&format!("http://{free}/metrics")), "{}", switch.banner);
    let get = |path: &str| {
        let mut stream = TcpStream::connect(free).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    assert!(get("/metrics").contains("dcbridge_port_receive_frames_total{bridge=\"br0\",port=\"left\"} "));
    assert!(get("/").contains("<!doctype html>"));
    assert!(get("/v1/state").starts_with("HTTP/1.1 200"));
}

#[test]
fn watching_goes_on_until_a_signal() {
    let bench = Bench::new();
    let _switch = bench.start("off");
    let mut watch = dcbridge(&["show", "ports", "--watch", "--socket", &bench.socket()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let pictures = BufReader::new(watch.stdout.take().unwrap()).lines().map_while(Result::ok);
    let heads = pictures.filter(|line| line.starts_with("PORT")).take(2).count();
    assert_eq!(heads, 2);
    kill(Pid::from_raw(watch.id() as i32), Signal::SIGINT).unwrap();
    assert_eq!(wait(&mut watch), Some(0));
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let bench = Bench::new();
    let mut child = dcbridge(&["check", "--json", &bench.config("off")])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let answer = child.wait_with_output().unwrap();
    assert_eq!((answer.status.code(), stderr(&answer).as_str()), (Some(0), ""));
}
