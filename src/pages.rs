//! The rules' examples: for each rule a mesh that it finds fault with, and one that it does not.

/// The examples of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// The rule.
    pub code: &'static str,
    /// Options of `meshproof verify` that the rule needs.
    pub flags: &'static str,
    /// A mesh with a finding of the rule.
    pub bad: &'static str,
    /// One without.
    pub good: &'static str,
}

/// The page of a rule; `None`: its examples are not manifests.
pub fn page(code: &str) -> Option<Page> {
    let (code, text) = PAGES.iter().find(|(known, _)| *known == code)?;
    let (head, rest) = text.split_once("# bad\n")?;
    let (bad, good) = rest.split_once("# good\n")?;
    let flags = head.trim().strip_prefix("# flags: ").unwrap_or_default();
    Some(Page { code, flags, bad, good })
}

macro_rules! pages {
    ($($code:literal)*) => {
        &[$(($code, include_str!(concat!("../rules/", $code, ".yaml"))),)*]
    };
}

static PAGES: &[(&str, &str)] = pages! {
    "MP0101" "MP0102" "MP0103" "MP0104" "MP0105" "MP0106" "MP0107" "MP0108" "MP0109" "MP0110"
    "MP0111" "MP0112" "MP0113" "MP0114" "MP0115" "MP0116" "MP0117" "MP0118" "MP0190" "MP0191"
    "MP0201" "MP0202" "MP0203" "MP0204" "MP0205" "MP0206" "MP0207" "MP0208" "MP0209" "MP0210"
    "MP0211" "MP0212" "MP0213" "MP0214" "MP0215" "MP0216" "MP0217" "MP0218" "MP0219" "MP0220"
    "MP0221" "MP0222" "MP0223" "MP0224" "MP0225" "MP0226" "MP0227" "MP0228" "MP0229" "MP0230"
    "MP0231" "MP0232" "MP0233" "MP0234" "MP0235" "MP0240" "MP0241" "MP0242" "MP0301" "MP0401"
    "MP0402" "MP0403" "MP0404" "MP0405" "MP0406" "MP0501" "MP0502" "MP0503" "MP0504" "MP0505"
    "MP0506" "MP0507" "MP0508" "MP0509" "MP0601" "MP0602" "MP0603" "MP0604" "MP0605" "MP0606"
    "MP0607" "MP0608" "MP0609" "MP0610" "MP0611" "MP0701" "MP0702" "MP0703" "MP0704" "MP0705"
    "MP0801" "MP0802" "MP0803" "MP0804" "MP0805" "MP1001" "MP1002" "MP1003"
};
