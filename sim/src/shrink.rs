//! Makes a failure smaller: a shorter time, fewer faults, fewer clients, fewer records, as long as it stays the same one.
//!
//! What is left out re-rolls the order of tasks, so a step is tried once and taken when the failure is still there.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use sim::nemesis::{Dangers, FAULTS};
use sim::scenario::{Plan, kind};
use sim::workload::WORKLOADS;

use crate::options::of_plan;
use crate::{Arguments, many};

/// Shrinks the failure of one seed.
#[expect(clippy::print_stdout, reason = "the report of a run is what this program is for")]
pub(crate) fn run(arguments: &Arguments, seed: u64) -> ExitCode {
    let Ok(program) = std::env::current_exe() else { return ExitCode::FAILURE };
    let plan = arguments.leaving.plan();
    let mut shrinking =
        Shrinking { arguments, program: &program, seed, kind: String::new(), run_count: 0 };
    let Some(problem) = shrinking.problem(&plan) else {
        println!("seed {seed} holds: there is nothing to shrink");
        return ExitCode::FAILURE;
    };
    println!("seed {seed}: FAILED: {problem}");
    shrinking.kind = kind(&problem).to_owned();
    let plan = shrinking.shrink(plan);
    let problem = shrinking.problem(&plan).unwrap_or(problem);
    println!("after {} runs: {problem}", shrinking.run_count);
    println!("{}", many::replay(&line(arguments, &plan), seed));
    ExitCode::FAILURE
}

struct Shrinking<'a> {
    arguments: &'a Arguments,
    program: &'a Path,
    seed: u64,
    /// What the failure must still be.
    kind: String,
    run_count: u64,
}

impl Shrinking<'_> {
    fn shrink(&mut self, mut plan: Plan) -> Plan {
        let fits =
            |seconds: &&u64| plan.horizon.is_none_or(|horizon| horizon.as_secs() > **seconds);
        let shorter: Vec<u64> = HORIZONS.iter().filter(fits).copied().collect();
        for seconds in shorter {
            let less = Plan { horizon: Some(Duration::from_secs(seconds)), ..plan.clone() };
            if self.take(&mut plan, less) {
                break;
            }
        }
        let names = FAULTS.iter().map(|fault| fault.name);
        let names = names.chain(WORKLOADS.iter().map(|workload| workload.name));
        for name in names {
            let mut less = plan.clone();
            if less.without.insert(name.to_owned()) {
                self.take(&mut plan, less);
            }
        }
        for number in (0..Dangers::draw(self.seed, &BTreeSet::new()).blow_count).rev() {
            let mut less = plan.clone();
            if less.skip.insert(number) {
                self.take(&mut plan, less);
            }
        }
        for records in RECORDS {
            if plan.records.is_none_or(|now| now > records)
                && self.take(&mut plan.clone(), Plan { records: Some(records), ..plan.clone() })
            {
                plan.records = Some(records);
                break;
            }
        }
        plan
    }

    /// Takes the smaller plan if it fails in the same way.
    #[expect(clippy::print_stdout, reason = "shrinking takes a while")]
    fn take(&mut self, plan: &mut Plan, less: Plan) -> bool {
        let is_same = self.problem(&less).is_some_and(|problem| kind(&problem) == self.kind);
        if is_same {
            *plan = less;
            println!("    still with {}", of_plan(plan).join(" "));
        }
        is_same
    }

    fn problem(&mut self, plan: &Plan) -> Option<String> {
        self.run_count += 1;
        let options = line(self.arguments, plan);
        many::run_with(&options, self.program, self.seed, None)
            .and_then(|report| report.result)
            .err()
    }
}

fn line(arguments: &Arguments, plan: &Plan) -> Vec<String> {
    [many::scenario_option(arguments), of_plan(plan)].concat()
}

/// Seconds, the shortest first.
const HORIZONS: [u64; 8] = [1, 2, 4, 8, 15, 30, 60, 120];

/// Records of each producer, the fewest first.
const RECORDS: [usize; 5] = [1, 5, 20, 50, 100];
