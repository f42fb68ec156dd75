//! Stand-in until the real one arrives.
use crate::view::EventRow;

/// A filter.
#[derive(Clone, Debug)]
pub struct Query(String);

/// What is wrong with it.
#[derive(Clone, Debug)]
pub struct QueryError {
    /// Column from 0.
    pub column: usize,
    /// In words.
    pub message: String,
}

/// Names of iterations and metrics.
pub struct Names<'a>(std::marker::PhantomData<&'a ()>);
impl<'a> Names<'a> {
    /// Makes it.
    pub fn of(_: &'a [crate::session::IterationName], _: &'a [std::sync::Arc<str>]) -> Self {
        Self(std::marker::PhantomData)
    }
}

impl Query {
    /// Reads a filter.
    ///
    /// # Errors
    /// Where it ends in a colon.
    pub fn parse(text: &str, _now_ms: i64, _offset: i32) -> Result<Self, QueryError> {
        if text.ends_with(':') {
            return Err(QueryError { column: text.len(), message: "a value is expected after the colon".into() });
        }
        Ok(Self(text.to_owned()))
    }
    /// Whether a row passes.
    pub fn matches(&self, row: &EventRow, _names: &Names<'_>) -> bool {
        let text = format!("{} {} code:{} {}", row.kind, row.key, row.code, row.units.iter().map(|(k, v)| format!("unit:{k}/{v} ")).collect::<String>());
        self.0.split_whitespace().all(|word| text.contains(word) || word.starts_with("exp:") || word.starts_with("metric:"))
    }
    /// Whether a text passes.
    pub fn matches_text(&self, text: &str) -> bool {
        self.0.split_whitespace().all(|word| text.contains(word))
    }
}
