//! Texts to count that nobody wrote for these tests.

use std::io::Write;
use std::path::{Path, PathBuf};

/// Where Debian keeps licence texts.
const LICENCES: &str = "/usr/share/common-licenses";

/// One licence text.
pub fn licence(name: &str) -> PathBuf {
    let path = Path::new(LICENCES).join(name);
    assert!(
        path.exists(),
        "{} is missing: these tests count Debian's licence texts",
        path.display()
    );
    path
}

/// A file of at least `bytes` bytes made of all the licence texts, again and again.
pub fn licences_repeated(path: &Path, bytes: usize) {
    let mut names: Vec<PathBuf> = std::fs::read_dir(LICENCES)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    names.sort();
    let all: Vec<u8> = names
        .iter()
        .flat_map(|name| std::fs::read(name).unwrap())
        .collect();
    assert!(!all.is_empty());
    let mut file = std::io::BufWriter::new(std::fs::File::create(path).unwrap());
    let mut written = 0;
    while written < bytes {
        file.write_all(&all).unwrap();
        written += all.len();
    }
    file.into_inner().unwrap();
}

/// The first article of the Universal Declaration of Human Rights in several scripts, with the marks, digits, case pairs
/// and final letters that make words hard to find.
pub const MANY_SCRIPTS: &str = "\
All human beings are born free and equal in dignity and rights.
Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι. ΌΛΟΙ ΟΙ ΆΝΘΡΩΠΟΙ ΊΣΟΣ'Α ΣΑΣ
Все люди рождаются свободными и равными. ВСЕ ЛЮДИ
सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता प्राप्त है।
人人生而自由，在尊严和权利上一律平等。他们赋有理性和良心，
すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。
모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다.
يولد جميع الناس أحرارًا متساوين في الكرامة والحقوق.
כל בני האדם נולדו בני חורין ושווים בערכם ובזכויותיהם.
Tất cả mọi người sinh ra đều được tự do và bình đẳng về nhân phẩm và quyền lợi.
İstanbul ISPARTA ılık DİYARBAKIR; Straße STRASSE ẞ ﬁsh Ǆungla
e\u{301}te\u{301} É\u{301} naïve cafe\u{301}s don't well-known snake_case x² Ⅷ ⅷ ٣٤ ½ ⓐ 🎉party🎉
𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𐐀𐐨 ꓐꓑ \u{200d}zero\u{200d}width\u{200b}space\u{feff}
";
