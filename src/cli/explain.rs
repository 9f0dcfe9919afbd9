//! `meshproof explain`: a rule's page, or the effective policy of a call.

use std::{collections::BTreeMap, fmt::Write as _};

use meshproof_model::{Mesh, WorkloadId, did_you_mean, rule};
use serde_json::Value;
use tabled::{
    builder::Builder,
    settings::{Style, Width, object::Columns},
};

use super::{Failure, InputArgs, print, refuse_faults};
use crate::{
    decide::{Prepared, Request},
    explain::{Call, Explanation, Leaf, dump, explain},
    pages,
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A rule's code, such as MP0401; with --from and --to the files or folders with the mesh.
    #[arg(required_unless_present = "from")]
    subject: Vec<String>,
    /// The client: a workload as `namespace/name`, or its name alone where there is one of it; `outside` for none. The
    /// pod of one of Envoy's dumps, where no workload has that name.
    #[arg(long, value_name = "WORKLOAD", requires = "to")]
    from: Option<String>,
    /// What it calls: `[namespace/]service[:port]`.
    #[arg(long, value_name = "SERVICE", requires = "from")]
    to: Option<String>,
    /// A request to follow, such as `GET /x`.
    #[arg(long, value_name = "REQUEST", requires = "from")]
    request: Option<String>,
    /// A header of the request, `name=value` or `name: value`.
    #[arg(short = 'H', long = "header", value_name = "HEADER", requires = "request")]
    headers: Vec<String>,
    /// How the policy is printed.
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Format,
    #[command(flatten)]
    input: InputArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// A table.
    Table,
    /// One JSON document.
    Json,
}

pub(super) fn run(args: &Args) -> Result<u8, Failure> {
    match (&args.from, &args.to, args.subject.as_slice()) {
        (Some(from), Some(to), _) => call(args, from, to),
        (_, _, [code]) => page(code),
        _ => Err(Failure::Usage("`explain` takes one rule's code, or a path with --from and --to".to_owned())),
    }
}

fn page(code: &str) -> Result<u8, Failure> {
    let Some(rule) = rule(code) else {
        return Err(Failure::Usage(format!("no rule has the code `{code}`: see `meshproof rules`")));
    };
    let severity = crate::report::severity(rule.severity);
    let istio = rule.istio.map(|code| format!("\nIstio's analysis: {code}")).unwrap_or_default();
    let mut text = format!(
        "{} {} ({severity})\n\nWhat it judges: {}.\nWhy it matters: {}.{istio}\n",
        rule.code, rule.name, rule.what, rule.why
    );
    if let Some(page) = pages::page(rule.code) {
        if !page.flags.is_empty() {
            let _ = writeln!(text, "Shown by: meshproof verify {}", page.flags);
        }
        for (title, example) in [("Bad", page.bad), ("Good", page.good)] {
            let _ = writeln!(text, "\n{title}:\n");
            for line in example.lines() {
                let _ = writeln!(text, "    {line}");
            }
        }
    }
    print(&text)
}

fn call(args: &Args, from: &str, to: &str) -> Result<u8, Failure> {
    let project = args.input.read(&args.subject)?;
    refuse_faults(&project)?;
    let request = args.request.as_deref().map(|line| request(line, &args.headers)).transpose()?;
    let dumped = dump::find(&project.imported.mesh, from);
    if let Some(dump) = dumped.filter(|_| workload(&project.imported.mesh, from).is_err()) {
        let (host, port) = to.rsplit_once(':').unwrap_or((to, "80"));
        let port = port.parse().map_err(|_| Failure::Usage(format!("`{port}` is no port")))?;
        let mesh = &project.imported.mesh;
        let explained = dump::explain(mesh, &project.sources, dump, (host, port), request.as_ref());
        return shown(args, &explained.map_err(Failure::Usage)?);
    }
    let prepared = Prepared::new(&project.imported.mesh);
    let mesh = &prepared.mesh;
    let client = if from == "outside" { prepared.outside } else { workload(&project.imported.mesh, from)? };
    let namespace = mesh.workload(client).meta.namespace();
    let namespace = Some(namespace).filter(|namespace| !namespace.is_empty());
    let (service, port) = mesh.find_target(namespace, to).map_err(|error| Failure::Usage(error.to_string()))?;
    let call = Call { from: client, to: service, port, request: request.as_ref() };
    shown(args, &explain(&prepared, &project.sources, &call).map_err(Failure::Usage)?)
}

fn shown(args: &Args, explained: &Explanation) -> Result<u8, Failure> {
    match args.format {
        Format::Json => {
            let json = serde_json::to_value(explained).map_err(|error| Failure::Usage(error.to_string()))?;
            print(&format!("{json:#}\n"))
        }
        Format::Table => print(&table(explained)),
    }
}

/// The workload of that name; a service's name stands for the first workload behind it.
fn workload(mesh: &Mesh, name: &str) -> Result<WorkloadId, Failure> {
    if let Some((namespace, bare)) = name.split_once('/') {
        if let Some(id) = mesh.find_workload(namespace, bare) {
            return Ok(id);
        }
    } else {
        let named: Vec<WorkloadId> = mesh.workload_ids().filter(|id| mesh.workload(*id).meta.name() == name).collect();
        match named.as_slice() {
            [one] => return Ok(*one),
            [] => {}
            several => {
                let all: Vec<String> = several.iter().map(|id| mesh.workload(*id).full_name()).collect();
                let all = all.join(", ");
                return Err(Failure::Usage(format!("`{name}` is ambiguous: {all}; write `namespace/name`")));
            }
        }
    }
    let is_named = |service: &meshproof_model::Service| service.full_name() == name || service.meta.name() == name;
    let mut services = mesh.service_ids().filter(|id| is_named(mesh.service(*id)));
    if let Some(id) = services.find_map(|service| mesh.workloads_of(service).next()) {
        return Ok(id);
    }
    let names: Vec<String> = mesh.workloads.iter().map(meshproof_model::Workload::full_name).collect();
    let bare = name.rsplit('/').next().unwrap_or(name);
    let same = names.iter().find(|known| known.rsplit('/').next() == Some(bare)).map(String::as_str);
    let near = same.or_else(|| did_you_mean(name, names.iter().map(String::as_str)));
    let hint = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
    Err(Failure::Usage(format!("unknown workload `{name}`{hint}")))
}

/// `GET /x`, or a path alone, with headers.
fn request(line: &str, headers: &[String]) -> Result<Request, Failure> {
    let (method, path) = line.trim().split_once(' ').map_or((None, line.trim()), |(m, path)| (Some(m), path.trim()));
    if !path.starts_with('/') {
        return Err(Failure::Usage(format!("`{line}` is no request: write it like `GET /x`")));
    }
    let mut request = Request { method: method.map(str::to_owned), path: Some(path.to_owned()), ..Request::default() };
    for header in headers {
        let Some((name, value)) = header.split_once(['=', ':']) else {
            return Err(Failure::Usage(format!("`{header}` is no header: write it like `name=value`")));
        };
        match name.trim().to_ascii_lowercase().as_str() {
            "host" => request.host = Some(value.trim().to_owned()),
            name => {
                request.headers.insert(name.to_owned(), Value::String(value.trim().to_owned()));
            }
        }
    }
    Ok(request)
}

fn table(explained: &Explanation) -> String {
    let mut out = format!("{} -> {}:{}\n", explained.from, explained.to, explained.port);
    for (title, leaves) in [("the client's proxy", &explained.outbound), ("the servers", &explained.inbound)] {
        let _ = writeln!(out, "\n{title}\n{}", leaves_table(leaves));
    }
    if let Some(decision) = &explained.decision {
        let mut rows = Builder::default();
        rows.push_record(["step", "result", "because of"]);
        for step in &decision.steps {
            rows.push_record([&step.what, &step.result, &step.place]);
        }
        let allowed = match decision.allowed {
            Some(true) => "it gets through",
            Some(false) => "it does not get through",
            None => "it cannot be said, or an external authorizer decides",
        };
        let _ = writeln!(out, "\nthe request\n{}\n{allowed}: {}", rows.build().with(Style::sharp()), decision.why);
    }
    out
}

fn leaves_table(leaves: &BTreeMap<String, Leaf>) -> String {
    let mut rows = Builder::default();
    rows.push_record(["what", "value", "because of"]);
    for (name, leaf) in leaves {
        let value = leaf.value.as_str().map_or_else(|| leaf.value.to_string(), str::to_owned);
        rows.push_record([name.as_str(), value.as_str(), leaf.place.as_str()]);
    }
    let mut table = rows.build();
    table.with(Style::sharp()).modify(Columns::one(1), Width::wrap(60).keep_words(true));
    table.to_string()
}
