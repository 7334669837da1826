use fourtuple_spec::Record;
use std::path::{Path, PathBuf};
pub struct About {
    pub plan_name: String,
    pub question: String,
    pub command: String,
}
pub fn report(_: &Path, _: &[Record], _: &About) -> anyhow::Result<Vec<PathBuf>> {
    Ok(Vec::new())
}
pub fn table(records: &[Record], _: usize, _: bool) -> String {
    format!("{} records\n", records.len())
}
pub fn summary(record: &Record) -> String {
    format!(
        "{} {:?} {:?}",
        record.case.label(),
        record.outcome,
        record.error
    )
}
