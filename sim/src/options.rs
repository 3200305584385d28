//! What may be left out of a run, on the command line.

use std::time::Duration;

use clap::Args;
use clap::builder::PossibleValuesParser;
use sim::cluster::NODES_MAX;
use sim::scenario::{Plan, names_to_leave_out};

/// Less than everything that a seed draws.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Leaving {
    /// Worlds of this many nodes; without, one world in eight has a cluster.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=i64::from(NODES_MAX)))]
    nodes: Option<u32>,
    /// Acknowledges records before they are durable, as Kafka does by default: checkers must find what is lost.
    #[arg(long)]
    acknowledge_early: bool,
    /// Leaves out all faults.
    #[arg(long)]
    calm: bool,
    /// Leaves out these faults, kinds of clients and checkers.
    #[arg(long, value_delimiter = ',', value_name = "NAMES", value_parser = PossibleValuesParser::new(names_to_leave_out()))]
    without: Vec<String>,
    /// Ends all faults after this many seconds.
    #[arg(long, value_name = "SECONDS")]
    horizon: Option<u64>,
    /// Leaves out these blows, by number.
    #[arg(long, value_delimiter = ',', value_name = "NUMBERS")]
    skip: Vec<u64>,
    /// Records of each producer, at most.
    #[arg(long, value_name = "COUNT")]
    records: Option<usize>,
}

impl Leaving {
    pub(crate) fn plan(&self) -> Plan {
        Plan {
            nodes: self.nodes,
            acknowledges_early: self.acknowledge_early,
            is_calm: self.calm,
            horizon: self.horizon.map(Duration::from_secs),
            without: self.without.iter().cloned().collect(),
            skip: self.skip.iter().copied().collect(),
            records: self.records,
        }
    }
}

/// What gives this plan again.
pub(crate) fn of_plan(plan: &Plan) -> Vec<String> {
    let mut options = Vec::new();
    if let Some(nodes) = plan.nodes {
        options.extend(["--nodes".to_owned(), nodes.to_string()]);
    }
    if plan.acknowledges_early {
        options.push("--acknowledge-early".to_owned());
    }
    if plan.is_calm {
        options.push("--calm".to_owned());
    }
    if let Some(horizon) = plan.horizon {
        options.extend(["--horizon".to_owned(), horizon.as_secs().to_string()]);
    }
    if !plan.without.is_empty() {
        let names: Vec<_> = plan.without.iter().map(String::as_str).collect();
        options.extend(["--without".to_owned(), names.join(",")]);
    }
    if !plan.skip.is_empty() {
        let numbers: Vec<_> = plan.skip.iter().map(ToString::to_string).collect();
        options.extend(["--skip".to_owned(), numbers.join(",")]);
    }
    if let Some(records) = plan.records {
        options.extend(["--records".to_owned(), records.to_string()]);
    }
    options
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        leaving: Leaving,
    }

    #[test]
    fn options_of_a_plan_give_the_plan_again() {
        let full = Plan {
            nodes: Some(3),
            acknowledges_early: true,
            is_calm: true,
            horizon: Some(Duration::from_secs(8)),
            without: BTreeSet::from(["pause".to_owned(), "tails".to_owned()]),
            skip: BTreeSet::from([2, 5]),
            records: Some(7),
        };
        for plan in [Plan::default(), full] {
            let line = [vec!["sim".to_owned()], of_plan(&plan)].concat();
            assert_eq!(Line::parse_from(line).leaving.plan(), plan);
        }
    }

    #[test]
    fn what_can_be_left_out_has_one_name_each_and_no_other_is_taken() {
        let names: Vec<_> = names_to_leave_out().collect();
        assert_eq!(names.len(), names.iter().collect::<BTreeSet<_>>().len(), "{names:?}");
        for (name, is_known) in [("orderly_stop", true), ("no_duplicates", true), ("paws", false)] {
            assert_eq!(
                Line::try_parse_from(["sim", "--without", name]).is_ok(),
                is_known,
                "{name}"
            );
        }
    }
}
