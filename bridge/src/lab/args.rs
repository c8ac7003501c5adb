//! What `dcbridge lab` is asked on the command line. Only parsing enters here; what a scenario does with it is its own
//! affair.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Subcommand, ValueEnum};
use dcbridge_config::BitRate;

use super::frames::FrameSize;

const EXAMPLES: &str = "\
Examples:
  dcbridge lab                                  three classes, 1 Gbit/s, five seconds
  dcbridge lab --rate 100Mbit --frame-size mixed
  dcbridge lab --config br0.toml --seconds 20   your own classes, policies and maps
  dcbridge lab --json | jq '.classes[] | {name, share, target_share}'
  dcbridge lab lossless                         two switches, one slow link: one class loses nothing

Exit codes: 0 passed, 1 a class missed what it must get or the lab could not run, 2 wrong usage.";

/// Hosts, a switch and traffic on this machine: see each class get its share, measured by who receives
#[derive(Clone, Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    scenario: Option<Scenario>,
    #[command(flatten)]
    ets: EtsArgs,
}

/// What is shown.
#[derive(Clone, Debug, Subcommand)]
pub enum Scenario {
    /// Three hosts over-offer traffic classes into one slow link: each class must hold its share of it (the default)
    Ets(EtsArgs),
    /// Four hosts send lossless and lossy classes over two switches into one slow link: nothing lossless may be lost
    Lossless(LosslessArgs),
}

impl Args {
    /// The scenario with its arguments.
    pub fn scenario(&self) -> Scenario {
        self.scenario.clone().unwrap_or_else(|| Scenario::Ets(self.ets.clone()))
    }
}

/// Arguments of `dcbridge lab ets`.
#[derive(Clone, Debug, clap::Args)]
pub struct EtsArgs {
    /// How long is measured; half a second of warm-up comes before it
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub seconds: u64,

    /// Line rate of the slow link
    #[arg(long, default_value = "1Gbit", value_name = "RATE", value_parser = link_rate)]
    pub rate: BitRate,

    /// Take traffic classes, policies and priority maps from this file (its ports are not used: the lab has its own)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Ethernet frames of this many bytes with FCS (64 to 9018), or `mixed`: anything from 64 to 9000
    #[arg(long, default_value = "1518", value_name = "BYTES|mixed")]
    pub frame_size: FrameSize,

    /// Where the hosts live
    #[arg(long, value_enum, default_value_t = Mode::Auto)]
    pub mode: Mode,

    /// Print the result as JSON, and nothing else
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `dcbridge lab lossless`.
#[derive(Clone, Debug, clap::Args)]
pub struct LosslessArgs {
    /// How long is measured; half a second of warm-up comes before it
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub seconds: u64,

    /// Line rate of the slow link; all others are five times as fast
    #[arg(long, default_value = "200Mbit", value_name = "RATE", value_parser = link_rate)]
    pub rate: BitRate,

    /// Ethernet frames of this many bytes with FCS (64 to 9018), or `mixed`: anything from 64 to 9000
    #[arg(long, default_value = "1518", value_name = "BYTES|mixed")]
    pub frame_size: FrameSize,

    /// Where the hosts live
    #[arg(long, value_enum, default_value_t = Mode::Auto)]
    pub mode: Mode,

    /// Print the result as JSON, and nothing else
    #[arg(long)]
    pub json: bool,
}

/// Where the lab's hosts live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// The most real of the following that this machine allows
    Auto,
    /// Network namespaces with a TAP each (needs root)
    Netns,
    /// The same inside a user namespace (needs a /dev/net/tun that everybody may open)
    Userns,
    /// Hosts inside this process, on a TCP/IP stack of their own (needs nothing)
    Inprocess,
}

impl Mode {
    /// Its name on the command line and in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Mode::Auto => "auto",
            Mode::Netns => "netns",
            Mode::Userns => "userns",
            Mode::Inprocess => "inprocess",
        }
    }
}

/// The slowest link that the lab measures: below it a second holds too few frames to tell shares by.
const SLOWEST: BitRate = BitRate(1_000_000);

fn link_rate(text: &str) -> Result<BitRate, String> {
    let rate = BitRate::from_str(text).map_err(|error| match error.help() {
        Some(help) => format!("{error}; {help}"),
        None => error.to_string(),
    })?;
    if rate < SLOWEST {
        return Err(format!(
            "the lab needs at least {SLOWEST}: slower links carry too few frames to tell shares"
        ));
    }
    Ok(rate)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        lab: Args,
    }

    fn parse(line: &str) -> Result<EtsArgs, String> {
        let words = std::iter::once("lab").chain(line.split_whitespace());
        let cli = Cli::try_parse_from(words).map_err(|e| e.to_string())?;
        match cli.lab.scenario() {
            Scenario::Ets(args) => Ok(args),
            Scenario::Lossless(_) => Err("the other scenario".to_owned()),
        }
    }

    #[test]
    fn the_bare_command_is_the_ets_scenario_with_its_defaults() {
        let bare = parse("").unwrap();
        let named = parse("ets").unwrap();
        for args in [bare, named] {
            assert_eq!((args.seconds, args.rate, args.mode), (5, BitRate(1_000_000_000), Mode::Auto));
            assert_eq!(args.frame_size, FrameSize::Fixed(1518));
            assert!(!args.json && args.config.is_none());
        }
    }

    #[test]
    fn options_are_taken_with_and_without_the_scenarios_name() {
        for prefix in ["", "ets "] {
            let args =
                parse(&format!("{prefix}--seconds 2 --rate 100Mbit --mode userns --frame-size mixed --json"));
            let args = args.unwrap();
            assert_eq!((args.seconds, args.rate, args.mode), (2, BitRate(100_000_000), Mode::Userns));
            assert_eq!(args.frame_size, FrameSize::Mixed);
            assert!(args.json);
        }
    }

    #[test]
    fn the_lossless_scenario_has_a_slower_link_of_its_own() {
        let words = "lab lossless --seconds 7 --json".split_whitespace();
        let Scenario::Lossless(args) = Cli::try_parse_from(words).unwrap().lab.scenario() else {
            panic!("another scenario")
        };
        assert_eq!((args.seconds, args.rate, args.mode), (7, BitRate(200_000_000), Mode::Auto));
        assert!(args.json);
        assert!(Cli::try_parse_from(["lab", "lossless", "--config", "x.toml"]).is_err());
    }

    #[test]
    fn what_can_not_be_measured_is_refused_with_a_reason() {
        for (line, reason) in [
            ("--seconds 0", "1..=3600"),
            ("--rate 10MB", "bytes"),
            ("--rate 64kbit", "at least 1Mbit"),
            ("--rate fast", "number"),
            ("--frame-size 63", "64"),
            ("--frame-size 9019", "9018"),
            ("--mode vm", "possible values"),
            ("--seconds 2 ets", "cannot be used with"),
        ] {
            let message = parse(line).expect_err(line);
            assert!(message.contains(reason), "{line}: {message}");
        }
    }
}
