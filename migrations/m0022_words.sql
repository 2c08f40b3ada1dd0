-- Texts as their words, as `query::Search` has them: a test compares the two over all code points. The words of a text
-- with one blank between them, before and behind. Letters are named by their code points and by themselves, so that no
-- locale has a say; `translate` is asked only where there is something for it, as it takes long.
create function wellspring_words(x text) returns text language plpgsql
immutable strict parallel safe cost 1000 as $$
declare
  signs constant text :=
    '\u0001-/:-`{-\u00A9\u00AB-\u00B1\u00B4\u00B6-\u00B8\u00BB\u00BF\u00D7\u00F7\u02C2-\u02C5'
    '\u02D2-\u02DF\u037E\u0387\u055A-\u055F\u0589-\u058F\u05BE\u05C0\u05C3\u05F3-\u060F\u061B-\u061F'
    '\u066A-\u066D\u06D4\u0700-\u070D\u0964-\u0965\u0970\u0DF4\u0E3F\u0E4F\u0E5A-\u0E5B\u0F04-\u0F14'
    '\u0F3A-\u0F3D\u104A-\u104F\u10FB\u1360-\u1368\u1400\u166E\u1680\u17D4-\u17D6\u17D8-\u17DB'
    '\u1800-\u180A\u2000-\u206F\u207A-\u207E\u208A-\u208E\u20A0-\u20FF\u2116-\u2118\u2120-\u2123'
    '\u2190-\u2BFF\u2E00-\u3004\u3008-\u3020\u3030\u3036-\u3037\u303D-\u303F\u309B-\u309C\u30A0\u30FB'
    '\u3190-\u319F\u31C0-\u31E3\u3200-\u33FF\u4DC0-\u4DFF\uA4FE-\uA4FF\uA60D-\uA60F\uA874-\uA877'
    '\uA92F\uA95F\uA9C1-\uA9CD\uAA5C-\uAA5F\uABEB\uFD3E-\uFD3F\uFE00-\uFE19\uFE30-\uFE6B\uFEFF-\uFF0F'
    '\uFF1A-\uFF20\uFF3B-\uFF40\uFF5B-\uFF65\uFFE0-\uFFFF\U0001D000-\U0001D24F\U0001F000-\U0001FBEF'
    '\U000E0000-\U000E0FFF';
  alone constant text :=
    '\u0E00-\u0EFF\u1000-\u109F\u1780-\u17FF\u3000-\u30FF\u31F0-\u31FF\u3400-\u9FFF\uAC00-\uD7A3'
    '\uF900-\uFAFF\uFF66-\uFF9F\U0001B000-\U0001B16F\U00020000-\U0003FFFF';
  t text := lower(x collate "C");
begin
  if octet_length(t) = char_length(t) then
    return regexp_replace(' ' || t || ' ', '[^a-z0-9]+', ' ', 'g');
  end if;
  -- Latin
  if t ~ ('[\u00C0-\u00D6\u00D8-\u00DE]') then
    t := translate(t,
      'ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÕÖØÙÚÛÜÝÞ',
      'àáâãäåæçèéêëìíîïðñòóôõöøùúûüýþ');
  end if;
  if t ~ '[\u0100-\u1EFF]' then
    if t ~ ('[\u0100\u0102\u0104\u0106\u0108\u010A\u010C\u010E\u0110\u0112\u0114\u0116\u0118\u011A\u011C'
           '\u011E\u0120\u0122\u0124\u0126\u0128\u012A\u012C\u012E\u0132\u0134\u0136\u0139\u013B\u013D\u013F'
           '\u0141\u0143\u0145\u0147\u014A\u014C\u014E\u0150\u0152\u0154\u0156\u0158\u015A\u015C\u015E\u0160'
           '\u0162\u0164\u0166\u0168\u016A\u016C\u016E\u0170\u0172\u0174\u0176\u0178-\u0179\u017B\u017D'
           '\u0181-\u0182\u0184\u0186-\u0187\u0189-\u018B\u018E-\u0191\u0193-\u0194\u0196-\u0198'
           '\u019C-\u019D\u019F-\u01A0\u01A2\u01A4\u01A6-\u01A7\u01A9\u01AC\u01AE-\u01AF\u01B1-\u01B3\u01B5'
           '\u01B7-\u01B8\u01BC\u01C4-\u01C5\u01C7-\u01C8\u01CA-\u01CB\u01CD\u01CF\u01D1\u01D3\u01D5\u01D7'
           '\u01D9\u01DB\u01DE\u01E0\u01E2\u01E4\u01E6\u01E8\u01EA\u01EC\u01EE\u01F1-\u01F2\u01F4'
           '\u01F6-\u01F8\u01FA\u01FC\u01FE\u0200\u0202\u0204\u0206\u0208\u020A\u020C\u020E\u0210\u0212'
           '\u0214\u0216\u0218\u021A\u021C\u021E\u0220\u0222\u0224\u0226\u0228\u022A\u022C\u022E\u0230\u0232'
           '\u023A-\u023B\u023D-\u023E\u0241\u0243-\u0246\u0248\u024A\u024C\u024E]') then
      t := translate(t,
        'ĀĂĄĆĈĊČĎĐĒĔĖĘĚĜĞĠĢĤĦĨĪĬĮĲĴĶĹĻĽĿŁŃŅŇŊŌŎŐŒŔŖŘŚŜŞŠŢŤŦŨŪŬŮŰŲŴŶŸŹŻŽƁƂƄƆƇƉƊƋƎƏƐƑƓƔƖƗƘƜƝƟƠƢƤƦƧƩƬƮƯƱƲƳƵƷ'
        'ƸƼǄǅǇǈǊǋǍǏǑǓǕǗǙǛǞǠǢǤǦǨǪǬǮǱǲǴǶǷǸǺǼǾȀȂȄȆȈȊȌȎȐȒȔȖȘȚȜȞȠȢȤȦȨȪȬȮȰȲȺȻȽȾɁɃɄɅɆɈɊɌɎ',
        'āăąćĉċčďđēĕėęěĝğġģĥħĩīĭįĳĵķĺļľŀłńņňŋōŏőœŕŗřśŝşšţťŧũūŭůűųŵŷÿźżžɓƃƅɔƈɖɗƌǝəɛƒɠɣɩɨƙɯɲɵơƣƥʀƨʃƭʈưʊʋƴƶʒ'
        'ƹƽǆǆǉǉǌǌǎǐǒǔǖǘǚǜǟǡǣǥǧǩǫǭǯǳǳǵƕƿǹǻǽǿȁȃȅȇȉȋȍȏȑȓȕȗșțȝȟƞȣȥȧȩȫȭȯȱȳⱥȼƚⱦɂƀʉʌɇɉɋɍɏ');
    end if;
    -- Greek; its other sigma, too.
    if t ~ ('[\u0370\u0372\u0376\u037F\u0386\u0388-\u038A\u038C\u038E-\u038F\u0391-\u03A1\u03A3-\u03AB\u03C2'
           '\u03CF\u03D8\u03DA\u03DC\u03DE\u03E0\u03E2\u03E4\u03E6\u03E8\u03EA\u03EC\u03EE\u03F4\u03F7'
           '\u03F9-\u03FA\u03FD-\u03FF]') then
      t := translate(t,
        'ͰͲͶͿΆΈΉΊΌΎΏΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩΪΫϏϘϚϜϞϠϢϤϦϨϪϬϮϴϷϹϺϽϾϿς',
        'ͱͳͷϳάέήίόύώαβγδεζηθικλμνξοπρστυφχψωϊϋϗϙϛϝϟϡϣϥϧϩϫϭϯθϸϲϻͻͼͽσ');
    end if;
    -- Cyrillic
    if t ~ ('[\u0400-\u042F]') then
      t := translate(t,
        'ЀЁЂЃЄЅІЇЈЉЊЋЌЍЎЏАБВГДЕЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯ',
        'ѐёђѓєѕіїјљњћќѝўџабвгдежзийклмнопрстуфхцчшщъыьэюя');
    end if;
    if t ~ ('[\u0460\u0462\u0464\u0466\u0468\u046A\u046C\u046E\u0470\u0472\u0474\u0476\u0478\u047A\u047C'
           '\u047E\u0480\u048A\u048C\u048E\u0490\u0492\u0494\u0496\u0498\u049A\u049C\u049E\u04A0\u04A2\u04A4'
           '\u04A6\u04A8\u04AA\u04AC\u04AE\u04B0\u04B2\u04B4\u04B6\u04B8\u04BA\u04BC\u04BE\u04C0-\u04C1'
           '\u04C3\u04C5\u04C7\u04C9\u04CB\u04CD\u04D0\u04D2\u04D4\u04D6\u04D8\u04DA\u04DC\u04DE\u04E0\u04E2'
           '\u04E4\u04E6\u04E8\u04EA\u04EC\u04EE\u04F0\u04F2\u04F4\u04F6\u04F8\u04FA\u04FC\u04FE\u0500\u0502'
           '\u0504\u0506\u0508\u050A\u050C\u050E\u0510\u0512\u0514\u0516\u0518\u051A\u051C\u051E\u0520\u0522'
           '\u0524\u0526\u0528\u052A\u052C\u052E]') then
      t := translate(t,
        'ѠѢѤѦѨѪѬѮѰѲѴѶѸѺѼѾҀҊҌҎҐҒҔҖҘҚҜҞҠҢҤҦҨҪҬҮҰҲҴҶҸҺҼҾӀӁӃӅӇӉӋӍӐӒӔӖӘӚӜӞӠӢӤӦӨӪӬӮӰӲӴӶӸӺӼӾԀԂԄԆԈԊԌԎԐԒԔԖԘԚԜԞԠԢԤԦ'
        'ԨԪԬԮ',
        'ѡѣѥѧѩѫѭѯѱѳѵѷѹѻѽѿҁҋҍҏґғҕҗҙқҝҟҡңҥҧҩҫҭүұҳҵҷҹһҽҿӏӂӄӆӈӊӌӎӑӓӕӗәӛӝӟӡӣӥӧөӫӭӯӱӳӵӷӹӻӽӿԁԃԅԇԉԋԍԏԑԓԕԗԙԛԝԟԡԣԥԧ'
        'ԩԫԭԯ');
    end if;
    -- Armenian
    if t ~ ('[\u0531-\u0556]') then
      t := translate(t,
        'ԱԲԳԴԵԶԷԸԹԺԻԼԽԾԿՀՁՂՃՄՅՆՇՈՉՊՋՌՍՎՏՐՑՒՓՔՕՖ',
        'աբգդեզէըթժիլխծկհձղճմյնշոչպջռսվտրցւփքօֆ');
    end if;
    -- Latin once more
    if t ~ ('[\u1E00\u1E02\u1E04\u1E06\u1E08\u1E0A\u1E0C\u1E0E\u1E10\u1E12\u1E14\u1E16\u1E18\u1E1A\u1E1C'
           '\u1E1E\u1E20\u1E22\u1E24\u1E26\u1E28\u1E2A\u1E2C\u1E2E\u1E30\u1E32\u1E34\u1E36\u1E38\u1E3A\u1E3C'
           '\u1E3E\u1E40\u1E42\u1E44\u1E46\u1E48\u1E4A\u1E4C\u1E4E\u1E50\u1E52\u1E54\u1E56\u1E58\u1E5A\u1E5C'
           '\u1E5E\u1E60\u1E62\u1E64\u1E66\u1E68\u1E6A\u1E6C\u1E6E\u1E70\u1E72\u1E74\u1E76\u1E78\u1E7A\u1E7C'
           '\u1E7E\u1E80\u1E82\u1E84\u1E86\u1E88\u1E8A\u1E8C\u1E8E\u1E90\u1E92\u1E94\u1E9E\u1EA0\u1EA2\u1EA4'
           '\u1EA6\u1EA8\u1EAA\u1EAC\u1EAE\u1EB0\u1EB2\u1EB4\u1EB6\u1EB8\u1EBA\u1EBC\u1EBE\u1EC0\u1EC2\u1EC4'
           '\u1EC6\u1EC8\u1ECA\u1ECC\u1ECE\u1ED0\u1ED2\u1ED4\u1ED6\u1ED8\u1EDA\u1EDC\u1EDE\u1EE0\u1EE2\u1EE4'
           '\u1EE6\u1EE8\u1EEA\u1EEC\u1EEE\u1EF0\u1EF2\u1EF4\u1EF6\u1EF8\u1EFA\u1EFC\u1EFE]') then
      t := translate(t,
        'ḀḂḄḆḈḊḌḎḐḒḔḖḘḚḜḞḠḢḤḦḨḪḬḮḰḲḴḶḸḺḼḾṀṂṄṆṈṊṌṎṐṒṔṖṘṚṜṞṠṢṤṦṨṪṬṮṰṲṴṶṸṺṼṾẀẂẄẆẈẊẌẎẐẒẔẞẠẢẤẦẨẪẬẮẰẲẴẶẸẺẼẾỀỂỄỆ'
        'ỈỊỌỎỐỒỔỖỘỚỜỞỠỢỤỦỨỪỬỮỰỲỴỶỸỺỼỾ',
        'ḁḃḅḇḉḋḍḏḑḓḕḗḙḛḝḟḡḣḥḧḩḫḭḯḱḳḵḷḹḻḽḿṁṃṅṇṉṋṍṏṑṓṕṗṙṛṝṟṡṣṥṧṩṫṭṯṱṳṵṷṹṻṽṿẁẃẅẇẉẋẍẏẑẓẕßạảấầẩẫậắằẳẵặẹẻẽếềểễệ'
        'ỉịọỏốồổỗộớờởỡợụủứừửữựỳỵỷỹỻỽỿ');
    end if;
  end if;
  -- Scripts without blanks: each letter is a word.
  if t ~ ('[' || alone || ']') then
    t := regexp_replace(t, '([' || alone || '])', ' \1 ', 'g');
  end if;
  -- What is no letter, digit or mark.
  return regexp_replace(' ' || t || ' ', '[' || signs || ']+', ' ', 'g');
end
$$;

-- What indexes have of a text: its words without places, those that are long as far as 64 letters. A text that is too
-- long for an index has one that is no word, which whoever asks an index asks for, too: no row is refused for its texts.
create function wellspring_tsvector(x text) returns tsvector language plpgsql
immutable strict parallel safe cost 2000 set search_path from current as $$
begin
  if octet_length(x) > 262144 then
    return array_to_tsvector(array['*']);
  end if;
  return array_to_tsvector(array(
    select left(word, 64) from unnest(string_to_array(btrim(wellspring_words(x)), ' ')) word));
end
$$;
