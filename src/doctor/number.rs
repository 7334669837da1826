//! Numbers in the doctor's words. In commands they have no separators.

use crate::publish::format;

/// A count: `1,048,576`.
pub fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A limit: `20,000`, or that there is none.
pub fn limit(value: u64) -> String {
    match value {
        u64::MAX => "unlimited".to_owned(),
        value => count(value),
    }
}

/// Bytes, by powers of 1,024: `7.8 GiB`.
pub fn bytes(value: u64) -> String {
    format::memory_bytes(value).replace('\u{a0}', " ")
}

/// A number of things: `1 process`, `2 processes`.
pub fn counted(value: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(value), if value == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_digit_is_kept() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_048_576), "1,048,576");
        assert_eq!(count(u64::MAX - 1), "18,446,744,073,709,551,614");
        assert_eq!(limit(u64::MAX), "unlimited");
        assert_eq!(bytes(8_375_186_227), "7.8 GiB");
        assert_eq!(counted(1, "process", "processes"), "1 process");
        assert_eq!(counted(2, "process", "processes"), "2 processes");
    }
}
