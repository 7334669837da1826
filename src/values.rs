//! Values as people write them on a command line.

use crate::network;
use std::time::Duration;

/// `2s`, `1.5s`, `500ms`, `1m`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit_seconds = match &text[digits.len()..] {
        "ms" => 1e-3,
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        "" => return Err(format!("{text:?} has no unit: write {text}s or {text}ms")),
        unit => return Err(format!("unknown unit {unit:?}: units are ms, s, m and h")),
    };
    let number: f64 = digits
        .parse()
        .map_err(|_| format!("{digits:?} is no number: write 500ms, 2s or 1.5m"))?;
    Duration::try_from_secs_f64(number * unit_seconds)
        .map_err(|_| format!("{text:?} is no length of time"))
}

/// `1000`, `1_000`, `10k`, `1M`.
pub fn count(text: &str) -> Result<u32, String> {
    let plain: String = text.chars().filter(|&c| c != '_' && c != ',').collect();
    let (digits, unit) = match plain.strip_suffix(['k', 'K']) {
        Some(digits) => (digits, 1_000),
        None => match plain.strip_suffix(['m', 'M']) {
            Some(digits) => (digits, 1_000_000),
            None => (&*plain, 1),
        },
    };
    let number: u64 = digits
        .parse()
        .map_err(|_| format!("{text:?} is no whole number: write 1000, 10k or 1M"))?;
    number
        .checked_mul(unit)
        .and_then(|number| u32::try_from(number).ok())
        .ok_or_else(|| format!("{text} is too many: the most is {}", u32::MAX))
}

/// `64`, `4KiB`, `1MiB`.
pub fn bytes(text: &str) -> Result<u32, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit: u64 = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        unit => return Err(format!("unknown unit {unit:?}: write 64, 4KiB or 1MiB")),
    };
    let number: u64 = digits
        .parse()
        .map_err(|_| format!("{digits:?} is no whole number: write 64, 4KiB or 1MiB"))?;
    number
        .checked_mul(unit)
        .and_then(|number| u32::try_from(number).ok())
        .ok_or_else(|| format!("{text} is too much for one message: the most is 16MiB"))
}

/// A list of cores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cpus(pub Vec<u32>);

/// `0`, `0,1`, `2-4`, `0,2-3`.
pub fn cpus(text: &str) -> Result<Cpus, String> {
    let number = |text: &str| -> Result<u32, String> {
        text.parse()
            .map_err(|_| format!("{text:?} is no core: write 0, or 0,1, or 2-4"))
    };
    let mut cpus = Vec::new();
    for part in text.split(',') {
        let (first, last) = match part.split_once('-') {
            Some((first, last)) => (number(first)?, number(last)?),
            None => (number(part)?, number(part)?),
        };
        if first > last {
            return Err(format!("{part} runs backwards: write {last}-{first}"));
        }
        if last >= 1024 {
            return Err(format!("{part}: cores are numbered from 0 to 1023"));
        }
        cpus.extend(first..=last);
    }
    Ok(Cpus(cpus))
}

/// `net.ipv4.tcp_rmem=4096 8192 16384`.
pub fn sysctl(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| {
        format!("{text:?} has no \"=\": write net.ipv4.tcp_congestion_control=reno")
    })?;
    network::check_sysctl_name(name)?;
    Ok((name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(duration("2s"), Ok(Duration::from_secs(2)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("1.5m"), Ok(Duration::from_secs(90)));
        for wrong in ["2", "s", "-1s", "2 weeks", "1e400s", "", "2sec", "µs"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn counts_may_have_separators_and_suffixes() {
        assert_eq!(count("1000"), Ok(1_000));
        assert_eq!(count("1_000_000"), Ok(1_000_000));
        assert_eq!(count("10k"), Ok(10_000));
        assert_eq!(count("1M"), Ok(1_000_000));
        for wrong in ["", "-1", "ten", "5000M", "1.5k", "k"] {
            assert!(count(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn message_sizes_may_have_units() {
        assert_eq!(bytes("64"), Ok(64));
        assert_eq!(bytes("4KiB"), Ok(4096));
        assert_eq!(bytes("2GB"), Ok(2_000_000_000));
        for wrong in ["", "8GiB", "4 KiB", "1.5k", "1furlong"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn cores_are_lists_and_spans() {
        assert_eq!(cpus("0"), Ok(Cpus(vec![0])));
        assert_eq!(cpus("0,2-4"), Ok(Cpus(vec![0, 2, 3, 4])));
        for wrong in ["", "a", "3-1", "1-", "0-9999", "0,,1"] {
            assert!(cpus(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_sysctl_is_a_network_one_with_a_value() {
        let got = sysctl("net.ipv4.tcp_rmem=4096 8192 16384").unwrap();
        assert_eq!(got.1, "4096 8192 16384");
        assert!(sysctl("net.ipv4.tcp_rmem").is_err());
        assert!(sysctl("vm.swappiness=1").is_err());
    }
}
