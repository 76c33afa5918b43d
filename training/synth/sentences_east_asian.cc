#include <array>

#include "training/synth/sentences.h"

namespace retune::synth {

namespace {

using std::string_view;

constexpr std::array<string_view, 14> kChineseWho{"老师",       "我妹妹", "我们的邻居", "小孩子",    "老人",
                                                  "年轻的女人", "医生",   "我爸爸",     "农民",      "她哥哥",
                                                  "店主",       "他妈妈", "那个姑娘",   "我们的朋友"};
constexpr std::array<string_view, 8> kChineseWhen{"今天",   "今天早上", "每天", "今天晚上",
                                                  "星期一", "星期天",   "冬天", "午饭以后"};
constexpr std::array<string_view, 40> kChineseTemplates{
    "{who}{when}在家里做汤。", "{when}{who}看一本书。",       "{who}{when}写一封信。",     "{who}{when}买新鲜的面包。",
    "{when}{who}喝一杯咖啡。", "{who}{when}弹钢琴。",         "{who}{when}在公园走路。",   "{when}{who}在沙发上睡觉。",
    "{who}{when}打扫厨房。",   "{who}{when}打开窗户。",       "{who}{when}关上大门。",     "{when}{who}唱一首新歌。",
    "{who}{when}学习中文。",   "{who}{when}开车去上班。",     "{when}{who}骑自行车。",     "{who}{when}等火车。",
    "{who}{when}给房子刷漆。", "{when}{who}在花园工作。",     "{who}{when}参观博物馆。",   "{who}{when}卖红苹果。",
    "{who}{when}找他的钥匙。", "{when}{who}洗车。",           "{who}{when}讲一个故事。",   "{who}{when}看一部电影。",
    "{when}{who}吃一个苹果。", "{who}{when}在湖里游泳。",     "{who}{when}给公司打电话。", "{when}{who}去海边旅行。",
    "{who}{when}去学校上课。", "{who}{when}修理收音机。",     "{when}{who}拿很重的书包。", "{who}{when}喝冷水。",
    "{who}{when}帮助孩子们。", "{when}{who}忘了带雨伞。",     "{who}{when}拍一张照片。",   "{who}{when}在晚会上跳舞。",
    "{who}{when}付钱买东西。", "{when}{who}跑去坐公共汽车。", "{who}{when}喂小鸟。",       "{who}{when}穿红色的大衣。"};

// Kana only: espeak-ng reads kana as Japanese, but spells kanji.
constexpr std::array<string_view, 14> kJapaneseWho{
    "せんせいは",           "いもうとは",     "となりのひとは", "おとこのこは",   "おじいさんは",
    "わかいおんなのひとは", "おいしゃさんは", "ちちは",         "のうかのひとは", "おにいさんは",
    "パンやさんは",         "おかあさんは",   "おんなのこは",   "ともだちは"};
constexpr std::array<string_view, 8> kJapaneseWhen{"きょう",       "けさ",         "まいにち", "こんばん",
                                                   "げつようびに", "にちようびに", "ふゆに",   "ひるごはんのあとで"};
constexpr std::array<string_view, 40> kJapaneseTemplates{
    "{who} {when} スープを つくります。",       "{when} {who} ほんを よみます。",
    "{who} {when} てがみを かきます。",         "{who} {when} パンを かいます。",
    "{when} {who} コーヒーを のみます。",       "{who} {when} ピアノを ひきます。",
    "{who} {when} こうえんを あるきます。",     "{when} {who} ソファで ねています。",
    "{who} {when} だいどころを そうじします。", "{who} {when} まどを あけます。",
    "{who} {when} ドアを しめます。",           "{when} {who} あたらしい うたを うたいます。",
    "{who} {when} にほんごを ならいます。",     "{who} {when} しごとに いきます。",
    "{when} {who} じてんしゃに のります。",     "{who} {when} でんしゃを まちます。",
    "{who} {when} いえを ぬります。",           "{when} {who} にわで はたらきます。",
    "{who} {when} はくぶつかんに いきます。",   "{who} {when} あかい りんごを うります。",
    "{who} {when} かぎを さがしています。",     "{when} {who} くるまを あらいます。",
    "{who} {when} おはなしを します。",         "{who} {when} えいがを みます。",
    "{when} {who} りんごを たべます。",         "{who} {when} みずうみで およぎます。",
    "{who} {when} かいしゃに でんわします。",   "{when} {who} うみへ りょこうします。",
    "{who} {when} がっこうに いきます。",       "{who} {when} ラジオを なおします。",
    "{when} {who} おもい かばんを もちます。",  "{who} {when} つめたい みずを のみます。",
    "{who} {when} こどもを てつだいます。",     "{when} {who} かさを わすれます。",
    "{who} {when} しゃしんを とります。",       "{who} {when} パーティーで おどります。",
    "{who} {when} おかねを はらいます。",       "{when} {who} バスまで はしります。",
    "{who} {when} とりに えさを やります。",    "{who} {when} あかい コートを きます。"};

constexpr std::array<string_view, 14> kKoreanWho{
    "선생님은", "제 여동생은", "우리 이웃은", "어린 소년은", "할아버지는", "젊은 여자는", "의사는",
    "아버지는", "농부는",      "오빠는",      "빵집 주인은", "어머니는",   "그 소녀는",   "우리 친구는"};
constexpr std::array<string_view, 8> kKoreanWhen{"오늘",     "오늘 아침에", "매일",   "오늘 밤에",
                                                 "월요일에", "일요일에",    "겨울에", "점심 후에"};
constexpr std::array<string_view, 40> kKoreanTemplates{
    "{who} {when} 국을 끓입니다.",        "{when} {who} 책을 읽습니다.",       "{who} {when} 편지를 씁니다.",
    "{who} {when} 빵을 삽니다.",          "{when} {who} 커피를 마십니다.",     "{who} {when} 피아노를 칩니다.",
    "{who} {when} 공원을 걷습니다.",      "{when} {who} 소파에서 잡니다.",     "{who} {when} 부엌을 청소합니다.",
    "{who} {when} 창문을 엽니다.",        "{who} {when} 문을 닫습니다.",       "{when} {who} 새 노래를 부릅니다.",
    "{who} {when} 한국어를 배웁니다.",    "{who} {when} 회사에 갑니다.",       "{when} {who} 자전거를 탑니다.",
    "{who} {when} 기차를 기다립니다.",    "{who} {when} 집을 칠합니다.",       "{when} {who} 정원에서 일합니다.",
    "{who} {when} 박물관에 갑니다.",      "{who} {when} 빨간 사과를 팝니다.",  "{who} {when} 열쇠를 찾습니다.",
    "{when} {who} 자동차를 씻습니다.",    "{who} {when} 이야기를 합니다.",     "{who} {when} 영화를 봅니다.",
    "{when} {who} 사과를 먹습니다.",      "{who} {when} 호수에서 수영합니다.", "{who} {when} 사무실에 전화합니다.",
    "{when} {who} 바다로 여행합니다.",    "{who} {when} 학교에 갑니다.",       "{who} {when} 라디오를 고칩니다.",
    "{when} {who} 무거운 가방을 듭니다.", "{who} {when} 찬물을 마십니다.",     "{who} {when} 아이들을 돕습니다.",
    "{when} {who} 우산을 잊습니다.",      "{who} {when} 사진을 찍습니다.",     "{who} {when} 잔치에서 춤을 춥니다.",
    "{who} {when} 돈을 냅니다.",          "{when} {who} 버스로 뜁니다.",       "{who} {when} 새에게 먹이를 줍니다.",
    "{who} {when} 빨간 외투를 입습니다."};

}  // namespace

// The pinyin voice reads Chinese characters with Mandarin phonemes; the plain voice falls back to English for many of
// them.
LanguageText chinese_text() { return {"Chinese", "cmn-latn-pinyin", kChineseWho, kChineseWhen, kChineseTemplates}; }

LanguageText japanese_text() { return {"Japanese", "ja", kJapaneseWho, kJapaneseWhen, kJapaneseTemplates}; }

LanguageText korean_text() { return {"Korean", "ko", kKoreanWho, kKoreanWhen, kKoreanTemplates}; }

}  // namespace retune::synth
