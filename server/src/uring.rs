//! Placeholder for the uring engine.

/// Prepares the engine.
pub(crate) fn new(
    _: crate::engine::Worker,
) -> Result<Box<dyn crate::engine::Serve>, crate::ServeError> {
    Err(crate::ServeError::new(
        "the uring engine is not written yet; use another engine",
    ))
}
