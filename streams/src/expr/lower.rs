//! `lower`: the full Unicode lower-case mapping, value by value.
//!
//! DataFusion's own `lower` maps a whole batch slowly (one allocation a value) as soon as one value of it is not
//! ASCII. Text streams always contain such values, so here each value chooses its own path. The result is exactly
//! `str::to_lowercase` of each value, the context-dependent final sigma included.
use std::sync::{Arc, LazyLock};

use arrow::array::{Array, AsArray, StringViewArray, StringViewBuilder};
use arrow::datatypes::DataType;
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

/// The lower-case form of a text: the full Unicode mapping, each value judged alone. Null gives null.
///
/// ```
/// use millstream_streams::{col, lower};
/// let word = lower(col("word")).alias("word");
/// ```
pub fn lower(text: Expr) -> Expr {
    static FUNCTION: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| Arc::new(ScalarUDF::from(Lower::new())));
    FUNCTION.call(vec![text])
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Lower {
    signature: Signature,
}

impl Lower {
    fn new() -> Self {
        let types = vec![DataType::Utf8View, DataType::Utf8, DataType::LargeUtf8];
        Self {
            signature: Signature::uniform(1, types, Volatility::Immutable),
        }
    }
}

impl ScalarUDFImpl for Lower {
    fn name(&self) -> &str {
        "lower"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8View)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let texts = &arrays[0];
        let lowered = match texts.data_type() {
            DataType::Utf8View => lower_all(texts.len(), texts.as_string_view().iter()),
            DataType::Utf8 => lower_all(texts.len(), texts.as_string::<i32>().iter()),
            DataType::LargeUtf8 => lower_all(texts.len(), texts.as_string::<i64>().iter()),
            other => return exec_err!("lower takes a string, not {other}"),
        };
        Ok(ColumnarValue::Array(Arc::new(lowered)))
    }
}

fn lower_all<'a>(len: usize, values: impl Iterator<Item = Option<&'a str>>) -> StringViewArray {
    let mut lowered = StringViewBuilder::with_capacity(len);
    let mut scratch = String::new();
    for value in values {
        match value {
            None => lowered.append_null(),
            Some(text) if !text.is_ascii() => lowered.append_value(text.to_lowercase()),
            Some(text) if text.bytes().any(|byte| byte.is_ascii_uppercase()) => {
                scratch.clear();
                scratch.push_str(text);
                scratch.make_ascii_lowercase();
                lowered.append_value(&scratch);
            }
            Some(text) => lowered.append_value(text),
        }
    }
    lowered.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn final_sigma_is_judged_within_the_value() {
        let lowered = lower_all(4, [Some("ΟΔΥΣΣΕΥΣ"), None, Some("ABC"), Some("İx")].into_iter());
        assert_eq!(
            lowered,
            StringViewArray::from(vec![Some("οδυσσευς"), None, Some("abc"), Some("i\u{307}x")])
        );
    }

    proptest! {
        #[test]
        fn is_to_lowercase(texts in proptest::collection::vec(proptest::option::of("\\PC*"), 0..20)) {
            let lowered = lower_all(texts.len(), texts.iter().map(|text| text.as_deref()));
            let expected: StringViewArray = texts.iter().map(|text| text.as_ref().map(|t| t.to_lowercase())).collect();
            prop_assert_eq!(lowered, expected);
        }
    }
}
