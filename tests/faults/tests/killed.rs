//! Jobs that strace ends with a signal during a chosen system call.

use faults::points::Points;
use faults::{Ground, JOBS, OutputKind, names};

const MOMENTS: [&str; 4] = ["write", "openat2", "linkat", "renameat2"];

fn killed(signal: &str, number: i32, check: impl Fn(&Ground, &faults::Job) -> Option<String>) {
    let ground = Ground::new();
    let mut found = Vec::new();
    for job in &JOBS {
        let points = Points::of(&ground, job, &MOMENTS);
        for call in MOMENTS {
            for n in points.invocations(call, 2) {
                ground.clear(job);
                let inject = format!("inject={call}:signal={signal}:when={n}");
                let (run, shown) =
                    ground.run(job, &["strace", "-f", "-qq", "-o", "/dev/null", "-e", &inject]);
                // strace ends with the signal that ended the tool. A job without such a call
                // succeeds.
                let problem = match (run.code, run.signal) {
                    (Some(0), None) if ground.is_complete(job) => None,
                    (None, Some(by)) if by == number => check(&ground, job),
                    (code, signal) => Some(format!("status {code:?}, signal {signal:?}: {}", run.stderr)),
                };
                found.extend(problem.map(|problem| format!("{shown}: {problem}")));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[ignore = "needs strace"]
#[test]
fn a_terminated_job_removes_its_files_and_dies_of_the_signal() {
    killed("SIGTERM", 15, |ground, job| {
        let sound = ground.is_untouched(job) || ground.is_complete(job);
        (!sound).then(|| format!("left: {:?}", names(&ground.path("to"))))
    });
}

#[ignore = "needs strace"]
#[test]
fn a_killed_job_leaves_nothing_under_the_final_name() {
    killed("SIGKILL", 9, |ground, job| {
        let to = ground.path("to");
        let out = to.join("out");
        let sound = match job.output {
            // After SIGKILL a temporary file may be left. Its name contains the PID of the tool.
            OutputKind::Directory => !out.exists() || ground.is_complete(job),
            OutputKind::File => {
                std::fs::read_to_string(&out).is_ok_and(|text| text.starts_with("previous output"))
                    || ground.is_complete(job)
                    || names(&to).iter().all(|name| name == "out" || name.starts_with(".ckpt-"))
            }
            OutputKind::InPlace => true,
        };
        let strangers: Vec<_> = names(&to)
            .into_iter()
            .filter(|name| job.output != OutputKind::InPlace && name != "out" && !name.starts_with('.'))
            .collect();
        (!sound || !strangers.is_empty()).then(|| format!("left: {:?}", names(&to)))
    });
}
