//! Lists of codes, and account numbers by theirs. A code says little by itself, as many short words are some code: only
//! what a key hints at is looked up here (`hints`), an account number's checksum apart.

/// ISO 3166-1 alpha-2, side by side.
const COUNTRIES_2: &str = concat!(
    "ADAEAFAGAIALAMAOAQARASATAUAWAXAZBABBBDBEBFBGBHBIBJBLBMBNBOBQBRBSBTBVBWBYBZCACCCDCFCGCHCICKCLCMCN",
    "COCRCUCVCWCXCYCZDEDJDKDMDODZECEEEGEHERESETFIFJFKFMFOFRGAGBGDGEGFGGGHGIGLGMGNGPGQGRGSGTGUGWGYHKHM",
    "HNHRHTHUIDIEILIMINIOIQIRISITJEJMJOJPKEKGKHKIKMKNKPKRKWKYKZLALBLCLILKLRLSLTLULVLYMAMCMDMEMFMGMHMK",
    "MLMMMNMOMPMQMRMSMTMUMVMWMXMYMZNANCNENFNGNINLNONPNRNUNZOMPAPEPFPGPHPKPLPMPNPRPSPTPWPYQARERORSRURW",
    "SASBSCSDSESGSHSISJSKSLSMSNSOSRSSSTSVSXSYSZTCTDTFTGTHTJTKTLTMTNTOTRTTTVTWTZUAUGUMUSUYUZVAVCVEVGVI",
    "VNVUWFWSYEYTZAZMZW",
);

/// ISO 3166-1 alpha-3, side by side.
const COUNTRIES_3: &str = concat!(
    "ABWAFGAGOAIAALAALBANDAREARGARMASMATAATFATGAUSAUTAZEBDIBELBENBESBFABGDBGRBHRBHSBIHBLMBLRBLZBMUBOL",
    "BRABRBBRNBTNBVTBWACAFCANCCKCHECHLCHNCIVCMRCODCOGCOKCOLCOMCPVCRICUBCUWCXRCYMCYPCZEDEUDJIDMADNKDOM",
    "DZAECUEGYERIESHESPESTETHFINFJIFLKFRAFROFSMGABGBRGEOGGYGHAGIBGINGLPGMBGNBGNQGRCGRDGRLGTMGUFGUMGUY",
    "HKGHMDHNDHRVHTIHUNIDNIMNINDIOTIRLIRNIRQISLISRITAJAMJEYJORJPNKAZKENKGZKHMKIRKNAKORKWTLAOLBNLBRLBY",
    "LCALIELKALSOLTULUXLVAMACMAFMARMCOMDAMDGMDVMEXMHLMKDMLIMLTMMRMNEMNGMNPMOZMRTMSRMTQMUSMWIMYSMYTNAM",
    "NCLNERNFKNGANICNIUNLDNORNPLNRUNZLOMNPAKPANPCNPERPHLPLWPNGPOLPRIPRKPRTPRYPSEPYFQATREUROURUSRWASAU",
    "SDNSENSGPSGSSHNSJMSLBSLESLVSMRSOMSPMSRBSSDSTPSURSVKSVNSWESWZSXMSYCSYRTCATCDTGOTHATJKTKLTKMTLSTON",
    "TTOTUNTURTUVTWNTZAUGAUKRUMIURYUSAUZBVATVCTVENVGBVIRVNMVUTWLFWSMYEMZAFZMBZWE",
);

/// ISO 4217, side by side; without what stands for none and for tests.
const CURRENCIES: &str = concat!(
    "AEDAFNALLAMDANGAOAARSAUDAWGAZNBAMBBDBDTBGNBHDBIFBMDBNDBOBBOVBRLBSDBTNBWPBYNBZDCADCDFCHECHFCHWCLF",
    "CLPCNYCOPCOUCRCCUCCUPCVECZKDJFDKKDOPDZDEGPERNETBEURFJDFKPGBPGELGHSGIPGMDGNFGTQGYDHKDHNLHRKHTGHUF",
    "IDRILSINRIQDIRRISKJMDJODJPYKESKGSKHRKMFKPWKRWKWDKYDKZTLAKLBPLKRLRDLSLLYDMADMDLMGAMKDMMKMNTMOPMRU",
    "MURMVRMWKMXNMXVMYRMZNNADNGNNIONOKNPRNZDOMRPABPENPGKPHPPKRPLNPYGQARRONRSDRUBRWFSARSBDSCRSDGSEKSGD",
    "SHPSLESLLSOSSRDSSPSTNSVCSYPSZLTHBTJSTMTTNDTOPTRYTTDTWDTZSUAHUGXUSDUSNUYIUYUUYWUZSVEDVESVNDVUVWST",
    "XAFXAGXAUXBAXBBXBCXBDXCDXDRXOFXPDXPFXPTXSUXUAYERZARZMWZWL",
);

/// ISO 639-1, the primary subtags of two letters, side by side.
const LANGUAGES: &str = concat!(
    "aaabaeafakamanarasavayazbabebgbhbibmbnbobrbscacechcocrcscucvcydadedvdzeeeleneoeseteufafffifjfofr",
    "fygagdglgngugvhahehihohrhthuhyhziaidieigiiikioisitiujajvkakgkikjkkklkmknkokrkskukvkwkylalblgliln",
    "loltlulvmgmhmimkmlmnmrmsmtmynanbndnengnlnnnonrnvnyocojomorospapiplpsptqurmrnrorurwsascsdsesgsisk",
    "slsmsnsosqsrssstsusvswtatetgthtitktltntotrtstttwtyugukuruzvevivowawoxhyiyozazhzu",
);

/// Countries with account numbers by ISO 13616, and how long those are, side by side.
const ACCOUNTS: &str = concat!(
    "AD24AE23AL28AT20AZ28BA20BE16BG22BH22BI27BR29BY28CH21CR22CY28CZ24DE22DJ27DK18DO28EE20EG29ES24FI18",
    "FK18FO18FR27GB22GE22GI23GL18GR27GT28HN28HR21HU28IE22IL23IQ23IS26IT27JO30KW30KZ20LB28LC32LI21LT20",
    "LU20LV21LY25MC27MD24ME22MK19MN20MR27MT31MU30NI28NL18NO15OM23PK24PL28PS29PT25QA29RO24RS22RU33SA24",
    "SC31SD18SE24SI19SK24SM27SO23ST25SV28TL23TN24TR26UA29VA22VG24XK20YE30",
);

/// The codes stand in their order.
fn lists<const N: usize>(codes: &str, code: &str) -> bool {
    let (listed, _) = codes.as_bytes().as_chunks::<N>();
    code.as_bytes().try_into().is_ok_and(|code| listed.binary_search(code).is_ok())
}

/// A country by two or three capitals.
pub(super) fn is_country(text: &str) -> bool {
    lists::<2>(COUNTRIES_2, text) || lists::<3>(COUNTRIES_3, text)
}

/// A currency by three capitals.
pub(super) fn is_currency(text: &str) -> bool {
    lists::<3>(CURRENCIES, text)
}

/// A language tag: a primary subtag of two small letters, by itself or before subtags of BCP 47's form.
pub(super) fn is_language(text: &str) -> bool {
    let mut subtags = text.split(['-', '_']);
    let primary = subtags.next().unwrap_or_default();
    let formed = |tag: &str| (2..=8).contains(&tag.len()) && tag.bytes().all(|b| b.is_ascii_alphanumeric());
    text.len() <= 35 && lists::<2>(LANGUAGES, primary) && subtags.all(formed)
}

/// An international bank account number, with single spaces or none: country, length and checksum.
pub(super) fn is_iban(text: &str) -> bool {
    let head = text.as_bytes().first_chunk::<4>();
    let begins = head.is_some_and(|head| {
        matches!(head, [a, b, c, d] if a.is_ascii_uppercase() && b.is_ascii_uppercase()
            && c.is_ascii_digit() && d.is_ascii_digit())
    });
    if !begins || text.len() > 42 || text.contains("  ") || text.ends_with(' ') {
        return false;
    }
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b' ').collect();
    let (Some((country, _)), Some((first, rest))) =
        (digits.split_first_chunk::<2>(), digits.split_first_chunk::<4>())
    else {
        return false;
    };
    let length = |listed: &[u8]| listed.iter().skip(2).fold(0, |n, digit| n * 10 + usize::from(digit - b'0'));
    let listed = ACCOUNTS.as_bytes().chunks_exact(4).find(|listed| listed.starts_with(country));
    if listed.map(length) != Some(digits.len()) {
        return false;
    }
    let remainder = rest.iter().chain(first).try_fold(0_u32, |sum, byte| match byte {
        b'0'..=b'9' => Some((sum * 10 + u32::from(byte - b'0')) % 97),
        b'A'..=b'Z' => Some((sum * 100 + u32::from(byte - b'A') + 10) % 97),
        _ => None,
    });
    remainder == Some(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_known_as_they_are_listed() {
        assert!(["DE", "USA", "GB"].into_iter().all(is_country));
        assert!(!["UK", "de", "XX", "", "D", "EAD", "ADAE"].into_iter().any(is_country));
        assert!(["EUR", "USD", "JPY"].into_iter().all(is_currency));
        assert!(!["eur", "EU", "XTS", "URU", "EURUSD"].into_iter().any(is_currency));
        assert!(["en", "pt-BR", "zh-Hant-TW", "de_CH"].into_iter().all(is_language));
        assert!(!["EN", "English", "en-", "xx", "en-x", "", "nn-123456789"].into_iter().any(is_language));
    }

    #[test]
    fn lists_are_in_order() {
        for codes in [COUNTRIES_2, LANGUAGES] {
            assert!(codes.as_bytes().as_chunks::<2>().0.is_sorted());
        }
        for codes in [COUNTRIES_3, CURRENCIES] {
            assert!(codes.as_bytes().as_chunks::<3>().0.is_sorted());
        }
    }

    #[test]
    fn account_numbers_have_country_length_and_checksum() {
        for text in ["DE89370400440532013000", "GB82 WEST 1234 5698 7654 32", "NO9386011117947"] {
            assert!(is_iban(text), "{text}");
        }
        for text in [
            "DE88370400440532013000",
            "DE8937040044053201300",
            "XX82WEST12345698765432",
            "GB82  WEST12345698765432",
            "gb82WEST12345698765432",
            "GB82west12345698765432",
            "GB82",
            "",
        ] {
            assert!(!is_iban(text), "{text}");
        }
    }
}
