//! How one file links to a directory.

use std::io;
use std::path::{Component, Path};

/// How a README links to a directory: the way from one to the other, as a URL has it.
///
/// # Errors
/// One of the two is not there.
pub fn link(readme: &Path, directory: &Path) -> io::Result<String> {
    let readme = readme.canonicalize()?;
    let directory = directory.canonicalize()?;
    let from: Vec<Component<'_>> = readme
        .parent()
        .unwrap_or(Path::new("/"))
        .components()
        .collect();
    let to: Vec<Component<'_>> = directory.components().collect();
    let shared = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let up = from[shared..].iter().map(|_| "..".to_owned());
    let down = to[shared..]
        .iter()
        .map(|part| url(&part.as_os_str().to_string_lossy()));
    let parts: Vec<String> = up.chain(down).collect();
    Ok(if parts.is_empty() {
        ".".to_owned()
    } else {
        parts.join("/")
    })
}

fn url(name: &str) -> String {
    let mut text = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_link_goes_from_the_readme_to_the_directory() {
        let root = std::env::temp_dir().join(format!("fourtuple-front-{}", std::process::id()));
        let (results, docs) = (root.join("results/a day"), root.join("docs"));
        fs::create_dir_all(&results).unwrap();
        fs::create_dir_all(&docs).unwrap();
        for readme in [root.join("README.md"), docs.join("README.md")] {
            fs::write(readme, "").unwrap();
        }
        let from = |readme: &str, directory: &Path| link(&root.join(readme), directory).unwrap();
        assert_eq!(from("README.md", &results), "results/a%20day");
        assert_eq!(from("docs/README.md", &results), "../results/a%20day");
        assert_eq!(from("README.md", &root), ".");
        assert!(link(&root.join("none.md"), &results).is_err());
        fs::remove_dir_all(&root).unwrap();
    }
}
