// The labels are the answers of SAKE's sample files and, where the questions print a closed list, that list as well;
// the phones of VoxAngeles, whose printed list holds hundreds of single letters that are also words, are the answers
// only. ConversationMatching letters its options and needs no table.
#include "eval/task_labels.h"

#include <algorithm>
#include <array>

namespace retune {
namespace {

struct TaskLabels {
  std::string_view task;
  std::string_view labels;  // separated by '|'
};

constexpr std::array<TaskLabels, 29> kTasks = {{
    {"AccentClassification_AccentdbExtended", "american|australian|bangla|british|indian|malayalam|odiya|telugu|welsh"},
    {"AgeClassification_CommonVoiceCorpus-Test", "elderly_adult|middle_aged_adult|teenager|young_adult"},
    {"DialogueActClassification_DailyTalk", "commissive|directive|inform|question"},
    {"EnvironmentalSoundClassification_ESC50-ExteriorAndUrbanNoises",
     "airplane|car horn|chainsaw|church bells|engine|fireworks|hand saw|helicopter|siren|train"},
    {"EnvironmentalSoundClassification_ESC50-HumanAndNonSpeechSounds",
     "breathing|brushing teeth|clapping|coughing|crying baby|drinking or sipping|footsteps|laughing|"
     "sneezing|snoring"},
    {"EnvironmentalSoundClassification_ESC50-InteriorAndDomesticSounds",
     "can opening|clock alarm|clock tick|door or wood knock|door wood creaks|glass breaking|"
     "keyboard typing|mouse click|vacuum cleaner|washing machine"},
    {"HEARMusicGenreClassification_ISMIR04", "classical|electronic|jazz|metal|pop|punk|rock|world"},
    {"HEARPercussionInstrumentsClassification_BeijingOperaPercussion", "bangu|daluo|naobo|xiaoluo"},
    {"HEARPercussionInstrumentsStrokeClassification_MridangamStroke", "bheem|cha|dheem|dhin|num|ta|tha|thi|thom"},
    {"HEARPercussionInstrumentsTonicClassification_MridangamTonic", "b|c|csh|d|dsh|e"},
    {"HowFarAreYou_3DSpeaker", "0.4m|2.0m|4.0m"},
    {"HumanNonSpeechSoundRecognition_Nonspeech7k-test_CommonVoice-DeltaSegment-15",
     "breath|cough|crying|laugh|screaming|sneeze|yawm|yawn"},
    {"InstrumentClassification_Nsynth", "bass|brass|flute|guitar|keyboard|mallet|organ|reed|string|synth_lead|vocal"},
    {"InstrumentPitchClassification_Nsynth",
     "A0|A#0|B0|C1|C#1|D1|D#1|E1|F1|F#1|G1|G#1|A1|A#1|B1|C2|C#2|D2|D#2|E2|F2|F#2|G2|G#2|A2|A#2|B2|C3|C#3|"
     "D3|D#3|E3|F3|F#3|G3|G#3|A3|A#3|B3|C4|C#4|D4|D#4|E4|F4|F#4|G4|G#4|A4|A#4|B4|C5|C#5|D5|D#5|E5|F5|F#5|"
     "G5|G#5|A5|A#5|B5|C6|C#6|D6|D#6|E6|F6|F#6|G6|G#6|A6|A#6|B6|C7|C#7|D7|D#7|E7|F7|F#7|G7|G#7|A7|A#7|B7|"
     "C8"},
    {"InstrumentSourceClassification_Nsynth", "acoustic|electronic|synthetic"},
    {"MARBLEGenreClassification_MTG-Genre",
     "60s|70s|80s|90s|acidjazz|alternative|alternativerock|ambient|atmospheric|blues|bluesrock|bossanova|"
     "breakbeat|celtic|chanson|chillout|choir|classical|classicrock|club|contemporary|country|dance|"
     "darkambient|darkwave|deephouse|disco|downtempo|drumnbass|dub|dubstep|easylistening|edm|electronic|"
     "electronica|electropop|ethno|eurodance|experimental|folk|funk|fusion|groove|grunge|hard|hardrock|"
     "hiphop|house|idm|improvisation|indie|industrial|instrumentalpop|instrumentalrock|jazz|jazzfusion|"
     "latin|lounge|medieval|metal|minimal|newage|newwave|orchestral|pop|popfolk|poprock|postrock|"
     "progressive|psychedelic|punkrock|rap|reggae|rnb|rock|rocknroll|singersongwriter|soul|soundtrack|"
     "swing|symphonic|synthpop|techno|trance|triphop|world|worldfusion"},
    {"MARBLEKeyDetection_Giantstepskey",
     "A major|A minor|Ab major|Ab minor|B major|B minor|Bb major|Bb minor|C major|C minor|D major|D minor|"
     "Db major|Db minor|E major|E minor|Eb major|Eb minor|F major|F minor|G major|G minor|Gb major|"
     "Gb minor"},
    {"MARBLEVocalTechniqueDetection_VocalSet",
     "belt|breathy|inhaled|lip_trill|spoken|straight|trill|trillo|vibrato|vocal_fry"},
    {"MusicGenreClassification_FMA", "Electronic|Experimental|Folk|Hip-Hop|Instrumental|International|Pop|Rock"},
    {"PhonologicalFeatureClassification_VoxAngeles-ConsonantPlaceOfArticulation",
     "alveolar|alveolo-nasal|alveolo-palatal|bilabial|dental|dento-nasal|glottal|labio-alveolar|"
     "labio-dental|labio-palatal|labio-velar|linguolabial|palatal|palato-alveolar|palato-alveolo-velar|"
     "palato-nasal|pharyngeal|retroflex|retroflex-nasal|uvular|uvulo-pharyngeal|velar"},
    {"PhonologicalFeatureClassification_VoxAngeles-MannerOfArticulation",
     "affricate|approximant|click|ejective|fricative|glide|implosive|lateral|nasal|plosive|tap/flap|trill|"
     "vowel"},
    {"PhonologicalFeatureClassification_VoxAngeles-Phone", "aː|b|d|e|f|i|j̃|k|nː|p|r|s|tʰ|ɑ|ɔ|ʒ"},
    {"PhonologicalFeatureClassification_VoxAngeles-VowelHeight", "close|mid|open"},
    {"SoundEffectDetection_RemFx", "Chorus|Compressor|Delay|Distortion|Reverb"},
    {"SpeakerCounting_LibriTTS-TestClean", "five|four|one|three|two"},
    {"SpoofDetection_ASVspoof", "authentic|spoofed"},
    {"SuperbKS_SpeechCommandsV1-Test", "<silence>|<unknown>|down|go|left|no|off|on|right|stop|up|yes"},
    {"VocalSoundRecognition_VocalSound", "Cough|Laughter|Sigh|Sneeze|Sniff|Throat clearing"},
    {"VoiceDisorderClassification_VOICED", "flux laryngitis|healthy|hyperkinetic dysphonia|hypokinetic dysphonia"},
}};

}  // namespace

std::vector<std::string_view> task_labels(std::string_view track) {
  constexpr std::string_view kSuite = "DynamicSuperb/";
  std::vector<std::string_view> labels;
  if (!track.starts_with(kSuite)) return labels;
  const auto found = std::find_if(kTasks.begin(), kTasks.end(),
                                  [&](const TaskLabels& entry) { return entry.task == track.substr(kSuite.size()); });
  if (found == kTasks.end()) return labels;
  std::string_view rest = found->labels;
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find('|'), rest.size());
    labels.push_back(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return labels;
}

}  // namespace retune
