use super::*;

fn args(messages: usize, malformed: usize, threads: usize) -> TraceArgs {
    TraceArgs { messages, malformed, threads, json: true }
}

#[test]
fn every_part_is_measured_and_the_ratio_is_theirs() {
    let report = run_trace(&args(60, 13, 2)).expect("a small round");
    let parts = [report.signatures_seconds, report.accusing_seconds, report.stepping_seconds, report.checking_seconds];
    assert!(parts.iter().all(|seconds| *seconds > 0.0), "{report:?}");
    assert!((parts.iter().sum::<f64>() - report.trace_seconds).abs() < 1e-6);
    assert!((report.trace_seconds / report.round_seconds - report.ratio).abs() < 1e-6);
    let json = serde_json::to_value(&report).expect("figures are numbers");
    assert_eq!((&json["messages"], &json["malformed"], &json["hops"]), (&60.into(), &13.into(), &6.into()));
}

#[test]
fn what_cannot_be_measured_is_refused() {
    assert!(matches!(run_trace(&args(0, 1, 1)), Err(BenchError::Messages(0))));
    assert!(matches!(run_trace(&args(10, 1, 0)), Err(BenchError::Threads(0))));
    assert!(matches!(run_trace(&args(10, 0, 1)), Err(BenchError::Malformed { .. })));
    assert!(matches!(run_trace(&args(10, 61, 1)), Err(BenchError::Malformed { malformed: 61, limit: 60 })));
}
