//! The verdicts as a table.

use super::super::markdown::{self, escape};
use fourtuple_spec::Trial;

/// One claim a row: what is said, the verdict, what was measured. Each id links to its section of the page at `link`,
/// or of this page where there is none.
pub fn table(trial: &Trial, link: Option<&str>) -> String {
    let headings = ["what is said", "verdict", "what was measured"].map(str::to_owned);
    let page = link.map_or_else(String::new, |link| format!("{link}/README.md"));
    let rows = trial.claims.iter().map(|tried| {
        let words = tried.measured.as_ref().unwrap_or(&tried.why);
        vec![
            format!(
                "{} ([{id}]({page}#{id}))",
                escape(&tried.claim),
                id = tried.id
            ),
            format!("**{}**", tried.verdict.name()),
            escape(words),
        ]
    });
    markdown::words(&headings, &rows.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn each_claim_is_a_row_that_links_to_its_section() {
        let text = table(&fixture::trial(), Some("results/day"));
        let rows: Vec<&str> = text.lines().collect();
        assert_eq!(rows.len(), 4);
        assert_eq!(
            rows[2],
            "| What is said of client-ports \\| and &lt;more&gt;. \
             ([client-ports](results/day/README.md#client-ports)) | **refuted** | 100,000 were held. |"
        );
        assert!(
            rows[3].ends_with("| **not run** | Because of it. |"),
            "{text}"
        );
        assert!(table(&fixture::trial(), None).contains("([memory](#memory))"));
    }
}
