//! System experiments: a JSON array on standard input, one JSON object a line on standard output.

fn main() -> Result<(), meshproof_conformance::ReplayError> {
    meshproof_conformance::experiment(std::io::stdin().lock(), std::io::BufWriter::new(std::io::stdout().lock()))
}
