//! Placeholder for the null engine.

/// Prepares the engine.
pub(crate) fn new(
    _: crate::engine::Worker,
) -> Result<Box<dyn crate::engine::Serve>, crate::ServeError> {
    Err(crate::ServeError::new(
        "the null engine is not written yet; use another engine",
    ))
}
