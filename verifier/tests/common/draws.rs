//! Numbers that follow from a seed, and how many random meshes an oracle goes through.

/// `SplitMix64`.
pub(crate) struct Draws(u64);

impl Draws {
    /// Of a seed.
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below a bound.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ (x >> 31)) % bound
    }

    /// True in so many of a hundred.
    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of these.
    pub(crate) fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::try_from(self.below(all.len() as u64)).unwrap()]
    }
}

/// 10,000 in the slow suite, else so many.
pub(crate) fn cases(quick: usize) -> usize {
    if std::env::var_os("MESHPROOF_SLOW").is_some() { 10_000 } else { quick }
}

/// How often each verdict of each rule came.
#[derive(Debug, Default)]
pub(crate) struct Shares(std::collections::BTreeMap<&'static str, (usize, usize)>);

impl Shares {
    /// One more verdict.
    pub(crate) fn add(&mut self, rule: &'static str, is_violated: bool) {
        let (violated, holds) = self.0.entry(rule).or_default();
        *(if is_violated { violated } else { holds }) += 1;
    }

    /// Each rule was judged in a quarter of the cases at the least, and each verdict is at least a quarter of its verdicts.
    #[expect(clippy::print_stdout, reason = "shown by --nocapture")]
    pub(crate) fn check(&self, cases: usize) {
        println!("violated and holding, of {cases}: {:?}", self.0);
        for (rule, (violated, holds)) in &self.0 {
            let all = violated + holds;
            assert!(violated * 4 >= all && holds * 4 >= all, "{rule}: {violated} violated and {holds} holding");
            assert!(all * 4 >= cases, "{rule}: judged in {all} of {cases} cases");
        }
    }
}
