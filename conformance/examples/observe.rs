//! The schema's contract of a program under test: a JSON array of cases on standard input, JSON lines on standard output.

fn main() -> Result<(), meshproof_conformance::ReplayError> {
    meshproof_conformance::replay(std::io::stdin().lock(), std::io::BufWriter::new(std::io::stdout().lock()))
}
