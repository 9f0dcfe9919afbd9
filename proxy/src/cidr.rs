//! Blocks of addresses.

use std::net::IpAddr;

use crate::error::CompileFault;

/// A CIDR block, such as `10.0.0.0/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cidr {
    /// The address's bits; an IPv4 address has them at the top.
    bits: u128,
    length: u32,
    is_v4: bool,
}

impl Cidr {
    /// Reads a block; an address alone is a block of one.
    pub(crate) fn new(block: &str) -> Result<Self, CompileFault> {
        parse(block).ok_or_else(|| CompileFault::Cidr { block: block.to_owned() })
    }

    pub(crate) fn contains(self, address: IpAddr) -> bool {
        let (bits, is_v4) = bits(address);
        is_v4 == self.is_v4 && (bits ^ self.bits).leading_zeros() >= self.length
    }
}

fn bits(address: IpAddr) -> (u128, bool) {
    match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()) << 96, true),
        IpAddr::V6(address) => (address.to_bits(), false),
    }
}

fn parse(block: &str) -> Option<Cidr> {
    let (address, length) = block.split_once('/').map_or((block, None), |(address, length)| (address, Some(length)));
    let (bits, is_v4) = bits(address.parse().ok()?);
    let longest = if is_v4 { 32 } else { 128 };
    let length = length.map_or(Some(longest), |length| length.parse().ok()).filter(|length| *length <= longest)?;
    Some(Cidr { bits, length, is_v4 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_contain_addresses_of_their_family() {
        let table = [
            ("10.0.0.0/8", "10.1.2.3", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("10.9.9.9/8", "10.1.2.3", true),
            ("0.0.0.0/0", "1.2.3.4", true),
            ("0.0.0.0/0", "::1", false),
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1", "127.0.0.2", false),
            ("::1/128", "::1", true),
            ("fd00::/8", "fd12::1", true),
            ("fd00::/8", "fe00::1", false),
        ];
        for (block, address, expect) in table {
            let got = Cidr::new(block).ok().zip(address.parse().ok()).map(|(block, address)| block.contains(address));
            assert_eq!(got, Some(expect), "{block} {address}");
        }
        for block in ["", "10.0.0.0/33", "10.0.0/8", "10.0.0.0/", "x"] {
            assert!(Cidr::new(block).is_err(), "{block}");
        }
    }
}
