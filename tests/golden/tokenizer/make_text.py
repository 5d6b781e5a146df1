#!/usr/bin/env python3
"""Writes text.jsonl: 2,000 JSON strings of mixed text, composed from the small word lists below by a fixed generator."""
import json
import sys
import unicodedata

LINES = 2000


class Generator:
    """64-bit linear congruential generator, so that the text does not depend on a Python version."""

    def __init__(self, state):
        self.state = state

    def below(self, n):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (self.state >> 33) % n

    def pick(self, items):
        return items[self.below(len(items))]


WORDS = {
    "english": "the a river stone carries every seventh answer quickly under bright windows while engineers measure don't we'll they're I'm it's you've he'd O'Neil's".split(),
    "german": "der Fluß überquert täglich die größte Brücke während Mädchen süße Äpfel zählen Geschwindigkeitsbegrenzung Straßenbahn für zwölf Öfen".split(),
    "french": "l'été où naïve garçon aperçoit déjà l'œuvre du château s'il n'était qu'à côté forêt bientôt français".split(),
    "spanish": "mañana el niño corrió detrás del pingüino ¿cuándo? ¡Ojalá! también árbol camión años después".split(),
    "polish": "źdźbło trawy zażółć gęślą jaźń łódka płynie wieczorem książka świętość ćwiczenia".split(),
    "turkish": "İstanbul'da ığdır güneş çiçek öğretmen şimdi yağmur kıyısında düşünüyor".split(),
    "vietnamese": "người Việt nước ngoài đường phố những buổi sáng thứ bảy được nghĩa là trường học".split(),
    "russian": "река течёт мимо старого города пока инженеры считают звёзды объём съёмка ещё раз".split(),
    "greek": "ο ποταμός κυλάει ήσυχα ενώ οι μηχανικοί μετρούν τ' άστρα ΐ ΰ ώρες".split(),
    "arabic": "النهر يمر بجانب المدينة القديمة بينما يقيس المهندسون السُّرعة كلَّ يوم مُحَمَّد".split(),
    "hebrew": "הנהר עובר ליד העיר העתיקה בזמן שהמהנדסים מודדים שָׁלוֹם יום".split(),
    "hindi": "नदी पुराने शहर के पास से बहती है जबकि अभियंता गति मापते हैं क़लम ज़रूर पढ़ाई".split(),
    "bengali": "নদী পুরোনো শহরের পাশ দিয়ে বয়ে যায় প্রকৌশলীরা গতি মাপেন".split(),
    "thai": "แม่น้ำไหลผ่านเมืองเก่า ขณะที่วิศวกร วัดความเร็ว ทุกวัน น้ำใจ".split(),
    "chinese": "河流 经过 古老的城市 工程师们 每天 测量 速度 二十三 龍 體 計算機".split(),
    "japanese": "川は 古い町の そばを 流れる エンジニア が 速度を 測る ｶﾀｶﾅ パーティー がんばって".split(),
    "korean": "강은 오래된 도시 옆을 흐르고 기술자들은 매일 속도를 측정한다 읽었습니다".split(),
}
EMOJI = ["😀", "👍🏽", "👩‍👩‍👧‍👦", "🇩🇪", "🇺🇸🇯🇵", "❤️", "🏳️‍🌈", "1️⃣", "🤷🏿‍♀️", "🫠", "☕", "✨🔥", "👨🏻‍💻", "🧑‍🚀"]
DIGITS = ["0", "7", "42", "007", "1234567890", "3.14159", "-273.15", "1,000,000", "0xDEADBEEF", "1e-10", "١٢٣٤٥", "१२३", "４２", "½", "²³", "Ⅻ", "①②③", "12:34:56",
          "2024-02-29", "99.9%", "$1,234.56", "10^6", "六百", "৭৮৯", "๓๔", "5th", "v1.2.3-rc4", "1st2nd3rd", "+49(0)30-1234"]
SPACES = [" ", "  ", "   ", "        ", "\t", "\t\t", " \t ", "\n", "\n\n", "\n\n\n\n", "\r\n", "\r\n\r\n", " \n ", "  \n\n  ", "\u00a0", "\u3000", "\u2003\u2003", "\u180e", " \u180e ",
          "\u200b", "\u2028", "\u2029", "\x0b", "\x0c", "\u0085", "\u1680", "\u202f", "\ufeff", "\x1c", " " * 17, " " * 64, "\t" * 9]
CODE = [
    "for (int i = 0; i < n; ++i) { total += a[i] * b[n - 1 - i]; }",
    "def area(r: float) -> float:\n    return 3.14159 * r ** 2  # circle\n",
    "if (!ptr || ptr->next != nullptr) return -1;\n\t// done",
    "SELECT id, name FROM users WHERE age >= 21 AND city LIKE '%burg' ORDER BY 2;",
    "<div class=\"row\"><a href='/x?y=1&amp;z=2'>link</a></div>\r\n",
    "const f = async ({a, b}) => `${a}_${b ?? \"none\"}`;",
    "#include <vector>\n#define MAX(a,b) ((a)>(b)?(a):(b))\n",
    "awk '{s+=$3} END {print s/NR}' data.tsv | sort -k2,2nr | head -n 5",
    "\\begin{align} \\int_0^1 x^2 \\, dx &= \\frac{1}{3} \\\\ \\end{align}",
    "{\"key\": [1, 2.5, null, true], \"path\": \"C:\\\\Temp\\\\new\"}",
    "fn main() { let v: Vec<u8> = (0..=255).collect(); println!(\"{:?}\", v); }",
    "@decorator\nclass CamelCase_snake(object):\n        __slots__ = ('x',)\n\n\n",
    "git commit -m 'fix: off-by-one' && git push --force-with-lease origin HEAD~3",
    "x=-1;y=+2;z=x**y//3%4<<5>>6&7|8^~9",
    "    mov     eax, DWORD PTR [rbp-4]\n    add     eax, 1\n",
    "https://example.org/a/b/c.html?q=%20x#frag-2 user.name+tag@mail.example.co.uk",
]
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>", "<tool_call>", "</tool_call>", "<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>",
           "<|end_header_id|>", "<|eot_id|>", "<repo_name>", "<file_sep>", "<|fim_prefix|>", "<|vision_start|>", "<|reserved_special_token_7|>", "<jupyter_start>", "<|im_start", "|im_end|>", "<|>", "<<|im_end|>>"]
MARKS = "\u0301\u0323\u0308\u0327\u030a\u0302\u0316\u093c\u05b8\u0651\u3099\u0345"
CONTRACTIONS = ["don't", "DON'T", "I'Ll", "we'RE", "he's's", "'tis", "it'\u017f", "they\u2019ve", "'d'm'll", "x'S", "rock'n'roll", "'\u212a", "''re", " 'VE", "l'Été'D"]
PUNCTUATION = ["...", "?!", "--", "—", "«»", "“”", "。", "、", "…", "///", "!!!!", "((()))", "=>", "™", "€", "§§", "°C", "→", "≠", "∑", "​¿", "·", "\\n", "~~~", "@#$%^&*"]


def odd_characters():
    """Every 397th assigned character of Unicode 14 (later versions are not known to every library)."""
    assigned = [c for c in range(0x20, 0x110000) if unicodedata.category(chr(c)) not in ("Cn", "Cs", "Co")]
    return [chr(c) for c in assigned[::397]]


def sentence(g, words):
    return " ".join(g.pick(words) for _ in range(3 + g.below(10))) + g.pick([".", "", "!", "?", ",", ";"])


def line(g, index, odd):
    kind = index % 20
    language = list(WORDS)[index // 20 % len(WORDS)]
    words = WORDS[language]
    if kind < 6:
        return sentence(g, WORDS[list(WORDS)[(index // 2) % len(WORDS)]])
    if kind == 6:
        return "".join(g.pick(words) + g.pick(SPACES) for _ in range(2 + g.below(8)))
    if kind == 7:
        return sentence(g, words) + g.pick(EMOJI) + g.pick(["", " "]) + g.pick(EMOJI) + " " + sentence(g, WORDS["english"])
    if kind == 8:
        return " ".join(g.pick(DIGITS) + g.pick(["", " ", "-", "x", "\n"]) for _ in range(1 + g.below(8)))
    if kind in (9, 10):
        return g.pick(CODE) + g.pick(SPACES) + g.pick(CODE)
    if kind == 11:
        return "".join(g.pick(SPACES) for _ in range(1 + g.below(5))) + g.pick(["", "x", ".", "7", "\u4e2d"])
    if kind == 12:
        return "".join(g.pick(SPECIAL) + g.pick(["", "", " ", "\n", "user\n", "word", "  "]) for _ in range(1 + g.below(6)))
    if kind == 13:
        return sentence(g, words) + g.pick(SPECIAL) + g.pick(SPECIAL) + sentence(g, words)
    if kind == 14:
        return "".join(g.pick(odd) for _ in range(4 + g.below(20)))
    if kind == 15:
        return " ".join(g.pick(CONTRACTIONS) + g.pick(["", g.pick(PUNCTUATION)]) for _ in range(2 + g.below(6)))
    if kind == 16:
        return unicodedata.normalize("NFD", sentence(g, words)) + "".join(g.pick(MARKS) for _ in range(g.below(4)))
    if kind == 17:
        base = g.pick(["a", "q", "Ω", "ﾊ", "か", "한", "\u0928", "\u05e9", "1", " ", "\u212b", "\u2126", "\ufb01"])
        return "".join(base + "".join(g.pick(MARKS) for _ in range(g.below(5))) for _ in range(3 + g.below(6)))
    if kind == 18:
        return g.pick(["a", "ab", " ", "=", "-", "é", "中", "😀", "0", "\n", "Ab", " x", "haha", "\u0301"]) * (1 + g.below(90))
    return "".join(g.pick([g.pick(words), g.pick(EMOJI), g.pick(DIGITS), g.pick(SPACES), g.pick(PUNCTUATION), g.pick(CONTRACTIONS), g.pick(odd), chr(g.below(128))])
                   for _ in range(4 + g.below(16)))


def main():
    g = Generator(20240229)
    odd = odd_characters()
    fixed = ["", " ", "a", "\n", "\x00", "\x7f", "\u0080", "\u07ff", "\u0800", "\ud7ff", "\ue000", "\uffff", "\U00010000", "\U0010ffff", "\u180e", "Hello, world!"]
    lines = fixed + [line(g, i, odd) for i in range(LINES - len(fixed))]
    with open(sys.argv[1], "w", encoding="utf-8", newline="\n") as out:
        for text in lines:
            out.write(json.dumps(text, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
