//! What `dcbridge bench` is asked on the command line, and which scenarios and switches that means. Nothing is measured
//! here.

use std::time::Duration;

use clap::Subcommand;

use super::scenario::{self, Scenario};
use super::switches::{ALL, Switch};
use super::yardstick;

const EXAMPLES: &str = "\
Examples:
  dcbridge bench --quick                          a first impression, within a minute
  dcbridge bench                                  everything that is installed, some twenty minutes
  dcbridge bench --scenario tcp --switch dcbridge --switch loop-vnet
  dcbridge bench --scenario ets-htb               shares beside the kernel's HTB
  dcbridge bench --json | jq '.rows[] | {switch, scenario, value, unit}'

Exit codes: 0 all that is installed was measured, 1 something failed, 2 wrong usage.";

/// Switches beside each other on this machine: rates, round trips and what they cost, with ratios
#[derive(Clone, Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    pub(super) tool: Option<Tool>,

    /// Measure only this: the name of a scenario or of a group such as `tcp`; may be repeated
    #[arg(long = "scenario", value_name = "NAME", value_parser = scenario_name)]
    scenarios: Vec<String>,

    /// Measure only this switch; may be repeated
    #[arg(long = "switch", value_name = "NAME", value_parser = switch_name)]
    switches: Vec<String>,

    /// How often each figure is measured; the median is shown [default: 5, with --quick 2]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    repeat: Option<u32>,

    /// How long each measurement takes, in seconds [default: 1, with --quick 0.3]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    seconds: Option<f64>,

    /// Fewer and shorter measurements of the main scenarios, within a minute
    #[arg(long)]
    quick: bool,

    /// Install the peers that are missing, by apt-get
    #[arg(long)]
    pub(super) install: bool,

    /// List scenarios and switches, and measure nothing
    #[arg(long)]
    pub(super) list: bool,

    /// Print the result as JSON, and nothing else
    #[arg(long)]
    pub(super) json: bool,
}

/// Parts of the bench that run by themselves.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum Tool {
    Yardstick(yardstick::Args),
}

/// What is measured and how long.
#[derive(Clone, Debug)]
pub struct Plan {
    /// In the order of their setups.
    pub scenarios: Vec<Scenario>,
    /// In the order of their turns.
    pub switches: Vec<&'static Switch>,
    /// Rounds.
    pub repeat: u32,
    /// Of one measurement.
    pub span: Duration,
}

impl Args {
    /// What these options mean.
    pub fn plan(&self) -> Plan {
        let wanted = |s: &Scenario| match self.scenarios.as_slice() {
            [] => !self.quick || s.quick,
            names => names.iter().any(|name| s.is_called(name)),
        };
        let chosen = |s: &&Switch| self.switches.is_empty() || self.switches.iter().any(|n| n == s.name);
        let (repeat, seconds) = if self.quick { (2, 0.3) } else { (5, 1.0) };
        Plan {
            scenarios: scenario::all().into_iter().filter(wanted).collect(),
            switches: ALL.iter().filter(chosen).collect(),
            repeat: self.repeat.unwrap_or(repeat),
            span: Duration::from_secs_f64(self.seconds.unwrap_or(seconds)),
        }
    }
}

fn scenario_name(text: &str) -> Result<String, String> {
    let all = scenario::all();
    if all.iter().any(|s| s.is_called(text)) {
        return Ok(text.to_owned());
    }
    let names: Vec<&str> = all.iter().map(|s| s.name).collect();
    Err(format!("there are {}, and groups such as `tcp`", names.join(", ")))
}

fn switch_name(text: &str) -> Result<String, String> {
    if ALL.iter().any(|s| s.name == text) {
        return Ok(text.to_owned());
    }
    Err(format!("there are {}", ALL.map(|s| s.name).join(", ")))
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.1..=60.0).contains(&seconds) => Ok(seconds),
        _ => Err("a number from 0.1 to 60".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        bench: Args,
    }

    fn plan(line: &str) -> Result<Plan, String> {
        let words = std::iter::once("bench").chain(line.split_whitespace());
        Cli::try_parse_from(words).map(|cli| cli.bench.plan()).map_err(|e| e.to_string())
    }

    #[test]
    fn the_bare_command_measures_everything() {
        let plan = plan("").unwrap();
        assert_eq!((plan.switches.len(), plan.repeat), (ALL.len(), 5));
        assert_eq!(plan.scenarios.len(), scenario::all().len());
        assert_eq!(plan.span, Duration::from_secs(1));
    }

    #[test]
    fn filters_choose_and_groups_count_as_their_members() {
        let plan = plan("--quick --switch loop-vnet --switch dcbridge --scenario tcp --repeat 3").unwrap();
        let names: Vec<&str> = plan.scenarios.iter().map(|s| s.name).collect();
        assert_eq!(names, ["tcp-1", "tcp-4"]);
        assert_eq!(plan.switches.iter().map(|s| s.name).collect::<Vec<_>>(), ["dcbridge", "loop-vnet"]);
        assert_eq!((plan.repeat, plan.span.as_millis()), (3, 300));
    }

    #[test]
    fn what_does_not_exist_is_refused_with_what_does() {
        for (line, reason) in [
            ("--scenario udp", "tcp-1"),
            ("--switch ovs-dpdk", "ovs-tso"),
            ("--seconds 0", "0.1 to 60"),
            ("--repeat 0", "1..=100"),
            ("yardstick fastest a b c d", "possible values"),
        ] {
            let message = plan(line).expect_err(line);
            assert!(message.contains(reason), "{line}: {message}");
        }
    }
}
