//! `/proc/cpuinfo`: the processor's own name, and whether it says that it is a guest.

/// The first line of a name: `model name` on x86, `Processor`, `cpu` or `CPU implementer` elsewhere.
pub(crate) fn model_name(text: &str) -> Option<String> {
    ["model name", "Model", "cpu model", "Processor", "cpu"]
        .iter()
        .find_map(|name| field(text, name))
        .or_else(|| {
            let implementer = field(text, "CPU implementer")?;
            let part = field(text, "CPU part")?;
            Some(format!("implementer {implementer}, part {part}"))
        })
}

/// Whether an x86 processor has the `hypervisor` flag.
pub(crate) fn is_guest(text: &str) -> bool {
    field(text, "flags").is_some_and(|flags| flags.split(' ').any(|flag| flag == "hypervisor"))
}

fn field(text: &str, name: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let (own, value) = line.split_once(':')?;
        let value = value.trim();
        (own.trim() == name && !value.is_empty()).then(|| value.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_and_the_guest_flag_are_read() {
        let x86 = "processor\t: 0\nmodel name\t: AMD EPYC\nflags\t\t: fpu hypervisor lahf_lm\n";
        assert_eq!(model_name(x86).as_deref(), Some("AMD EPYC"));
        assert!(is_guest(x86));
        assert!(!is_guest("flags : fpu nohypervisor\n"));
        let arm = "processor : 0\nCPU implementer : 0x41\nCPU part : 0xd40\n";
        assert_eq!(
            model_name(arm).as_deref(),
            Some("implementer 0x41, part 0xd40")
        );
        assert_eq!(model_name(""), None);
    }
}
