//! `split_words`: the words of a text, as a list.
//!
//! A word is a maximal run of characters of the Unicode general categories L* (letters), M* (marks) and N*
//! (numbers). Nothing is lower-cased: a mapping that depends on context has to see the word alone.
//! ASCII is classified byte by byte from a table; everything else by its character's category.
use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, ListArray, StringViewBuilder};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field};
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use unicode_general_category::{GeneralCategory, get_general_category};

/// The words of a text column, as a list of strings.
///
/// A word is a maximal run of characters of the Unicode general categories L*, M* and N*. Null gives null.
///
/// ```
/// use millstream_streams::{col, split_words};
/// let words = split_words(col("line")).alias("word");
/// ```
pub fn split_words(text: Expr) -> Expr {
    static FUNCTION: LazyLock<Arc<ScalarUDF>> =
        LazyLock::new(|| Arc::new(ScalarUDF::from(SplitWords::new())));
    FUNCTION.call(vec![text])
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct SplitWords {
    signature: Signature,
}

impl SplitWords {
    fn new() -> Self {
        let types = vec![DataType::Utf8View, DataType::Utf8, DataType::LargeUtf8];
        Self {
            signature: Signature::uniform(1, types, Volatility::Immutable),
        }
    }
}

fn item() -> Arc<Field> {
    Arc::new(Field::new_list_field(DataType::Utf8View, false))
}

impl ScalarUDFImpl for SplitWords {
    fn name(&self) -> &str {
        "split_words"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::List(item()))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let texts = &arrays[0];
        let words: ListArray = match texts.data_type() {
            DataType::Utf8View => split(texts, texts.as_string_view().iter())?,
            DataType::Utf8 => split(texts, texts.as_string::<i32>().iter())?,
            DataType::LargeUtf8 => split(texts, texts.as_string::<i64>().iter())?,
            other => return exec_err!("split_words takes a string, not {other}"),
        };
        Ok(ColumnarValue::Array(Arc::new(words)))
    }
}

fn split<'a>(texts: &ArrayRef, values: impl Iterator<Item = Option<&'a str>>) -> Result<ListArray> {
    let mut words = StringViewBuilder::with_capacity(texts.len() * 8);
    let mut offsets = Vec::with_capacity(texts.len() + 1);
    let mut end = 0_i32;
    offsets.push(end);
    for text in values {
        for_each_word(text.unwrap_or_default(), |word| {
            words.append_value(word);
            end += 1;
        });
        offsets.push(end);
    }
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    Ok(ListArray::try_new(
        item(),
        offsets,
        Arc::new(words.finish()),
        texts.nulls().cloned(),
    )?)
}

static ASCII_WORD: [bool; 128] = {
    let mut table = [false; 128];
    let mut byte = 0_u8;
    while byte < 128 {
        table[byte as usize] = byte.is_ascii_alphanumeric();
        byte += 1;
    }
    table
};

/// Whether a character belongs to a word: Unicode general categories L*, M* and N*.
///
/// ```
/// use millstream_streams::is_word_char;
/// assert!(is_word_char('é') && is_word_char('\u{301}') && is_word_char('٣'));
/// assert!(!is_word_char('_') && !is_word_char('ⓐ') && !is_word_char('\u{fffd}'));
/// ```
pub fn is_word_char(c: char) -> bool {
    use GeneralCategory::*;
    matches!(
        get_general_category(c),
        UppercaseLetter
            | LowercaseLetter
            | TitlecaseLetter
            | ModifierLetter
            | OtherLetter
            | NonspacingMark
            | SpacingMark
            | EnclosingMark
            | DecimalNumber
            | LetterNumber
            | OtherNumber
    )
}

/// Calls `each` with every word of `text`, in order.
fn for_each_word<'a>(text: &'a str, mut each: impl FnMut(&'a str)) {
    let bytes = text.as_bytes();
    let (mut at, mut start, mut inside) = (0, 0, false);
    while at < bytes.len() {
        let (belongs, width) = if bytes[at] < 128 {
            (ASCII_WORD[bytes[at] as usize], 1)
        } else {
            let c = text[at..]
                .chars()
                .next()
                .expect("at stands on a character, as it advances by whole ones");
            (is_word_char(c), c.len_utf8())
        };
        if belongs != inside {
            if inside {
                each(&text[start..at]);
            } else {
                start = at;
            }
            inside = belongs;
        }
        at += width;
    }
    if inside {
        each(&text[start..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{StringArray, StringViewArray};
    use proptest::prelude::*;

    fn words(text: &str) -> Vec<&str> {
        let mut found = Vec::new();
        for_each_word(text, |word| found.push(word));
        found
    }

    /// The definition, literally: classify every character by the abbreviation of its category.
    fn oracle(text: &str) -> Vec<String> {
        let mut found = vec![String::new()];
        for c in text.chars() {
            match get_general_category(c).abbreviation().as_bytes()[0] {
                b'L' | b'M' | b'N' => found.last_mut().unwrap().push(c),
                _ => found.push(String::new()),
            }
        }
        found.retain(|word| !word.is_empty());
        found
    }

    #[test]
    fn words_of_known_texts() {
        let cases: [(&str, &[&str]); 8] = [
            ("", &[]),
            ("  ,;", &[]),
            ("The quick, brown fox", &["The", "quick", "brown", "fox"]),
            ("it's a_b 3.14", &["it", "s", "a", "b", "3", "14"]),
            ("ΟΔΥΣΣΕΥΣ—Ægir", &["ΟΔΥΣΣΕΥΣ", "Ægir"]),
            ("e\u{301}te\u{301} ok", &["e\u{301}te\u{301}", "ok"]),
            ("½ ² Ⅷ 一二", &["½", "²", "Ⅷ", "一二"]),
            ("a\u{200d}b 👍c", &["a", "b", "c"]),
        ];
        for (text, expected) in cases {
            assert_eq!(words(text), expected, "{text:?}");
        }
    }

    #[test]
    fn every_string_type_splits_alike_and_null_stays_null() {
        let values = [
            Some("one two"),
            None,
            Some(""),
            Some("three-and-a-rather-long-one"),
        ];
        let arrays: [ArrayRef; 2] = [
            Arc::new(StringArray::from(values.to_vec())),
            Arc::new(StringViewArray::from(values.to_vec())),
        ];
        let lists: Vec<ListArray> = vec![
            split(&arrays[0], arrays[0].as_string::<i32>().iter()).unwrap(),
            split(&arrays[1], arrays[1].as_string_view().iter()).unwrap(),
        ];
        assert_eq!(lists[0], lists[1]);
        assert!(lists[0].is_null(1));
        assert_eq!(lists[0].value_length(0), 2);
        assert_eq!(lists[0].value_length(2), 0);
        assert_eq!(lists[0].value_length(3), 6);
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(text in "\\PC*") {
            prop_assert_eq!(words(&text), oracle(&text));
        }

        #[test]
        fn agrees_with_the_definition_on_any_characters(chars in proptest::collection::vec(any::<char>(), 0..64)) {
            let text: String = chars.into_iter().collect();
            prop_assert_eq!(words(&text), oracle(&text));
        }
    }
}
