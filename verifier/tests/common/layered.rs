//! A large mesh: services in six layers, each of which calls four of the next layer.

use std::fmt::Write as _;

/// What `mesh.ron` says of services `s0`, `s1`, …: a user who asks the first, and everybody's calls.
pub(crate) fn behaviour(services: usize) -> String {
    let width = services.div_ceil(6);
    let mut workloads = String::new();
    for number in 0..services {
        let next = (number / width + 1) * width;
        let calls: Vec<String> = (0..4)
            .map(|call| next + (number * 7 + call * 13) % width)
            .filter(|to| *to < services)
            .map(|to| format!("[(to: \"s{to}:80\")]"))
            .collect();
        let calls = calls.join(", ");
        // Writing to a string does not fail.
        let _ = write!(workloads, "\"default/s{number}\": (service_time: Constant(\"5ms\"), calls: [{calls}]), ");
    }
    format!(
        "Mesh(version: 1, clients: {{\"user\": (from: Outside, to: \"default/s0:80\", requests: [(name: \"r\")])}}, \
         workloads: {{{workloads}}})"
    )
}
