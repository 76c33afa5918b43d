#include <array>

#include "training/synth/sentences.h"

namespace retune::synth {

namespace {

using std::string_view;

constexpr std::array<string_view, 14> kEnglishWho{
    "the teacher", "my sister",  "our neighbour", "the little boy", "the old man", "a young woman", "the doctor",
    "my father",   "the farmer", "her brother",   "the baker",      "his mother",  "the girl",      "our friend"};
constexpr std::array<string_view, 8> kEnglishWhen{"today",     "this morning", "every day", "tonight",
                                                  "on Monday", "on Sunday",    "in winter", "after lunch"};
constexpr std::array<string_view, 40> kEnglishTemplates{
    "{who} is cooking soup {when}.",       "{when} {who} reads a book.",
    "{who} writes a long letter {when}.",  "{who} buys fresh bread {when}.",
    "{when} {who} is drinking coffee.",    "{who} plays the piano {when}.",
    "{who} walks in the park {when}.",     "{when} {who} sleeps on the sofa.",
    "{who} cleans the kitchen {when}.",    "{who} opens the window {when}.",
    "{who} shuts the big door {when}.",    "{when} {who} sings a new song.",
    "{who} learns English {when}.",        "{who} drives to work {when}.",
    "{when} {who} rides the bicycle.",     "{who} waits for the train {when}.",
    "{who} is painting the house {when}.", "{when} {who} works in the garden.",
    "{who} visits the museum {when}.",     "{who} sells red apples {when}.",
    "{who} looks for the key {when}.",     "{when} {who} washes the car.",
    "{who} tells us a story {when}.",      "{who} is watching a film {when}.",
    "{when} {who} wants an apple.",        "{who} swims in the lake {when}.",
    "{who} calls the office {when}.",      "{when} {who} travels to the sea.",
    "{who} goes to school {when}.",        "{who} mends the radio {when}.",
    "{when} {who} carries the heavy bag.", "{who} likes cold water {when}.",
    "{who} helps the children {when}.",    "{when} {who} forgets the umbrella.",
    "{who} takes a picture {when}.",       "{who} is dancing at the party {when}.",
    "{who} pays the bill {when}.",         "{when} {who} runs to the bus.",
    "{who} feeds the birds {when}.",       "{who} wears a warm coat {when}."};

constexpr std::array<string_view, 14> kGermanWho{"der Lehrer",    "meine Schwester", "unser Nachbar", "das kleine Kind",
                                                 "der alte Mann", "eine junge Frau", "der Arzt",      "mein Vater",
                                                 "der Bauer",     "ihr Bruder",      "der Bäcker",    "seine Mutter",
                                                 "das Mädchen",   "unser Freund"};
constexpr std::array<string_view, 8> kGermanWhen{"heute",     "heute morgen", "jeden Tag", "heute Abend",
                                                 "am Montag", "am Sonntag",   "im Winter", "nach dem Essen"};
constexpr std::array<string_view, 40> kGermanTemplates{"{when} kocht {who} eine Suppe.",
                                                       "{who} liest {when} ein Buch.",
                                                       "{who} schreibt {when} einen Brief.",
                                                       "{when} kauft {who} frisches Brot.",
                                                       "{who} trinkt {when} einen Kaffee.",
                                                       "{who} spielt {when} Klavier.",
                                                       "{who} geht {when} in den Park.",
                                                       "{who} schläft {when} auf dem Sofa.",
                                                       "{when} putzt {who} die Küche.",
                                                       "{who} öffnet {when} das Fenster.",
                                                       "{who} schließt {when} die Tür.",
                                                       "{when} singt {who} ein neues Lied.",
                                                       "{who} lernt {when} Deutsch.",
                                                       "{who} fährt {when} zur Arbeit.",
                                                       "{when} nimmt {who} das Fahrrad.",
                                                       "{who} wartet {when} auf den Zug.",
                                                       "{who} streicht {when} das Haus.",
                                                       "{when} arbeitet {who} im Garten.",
                                                       "{who} besucht {when} das Museum.",
                                                       "{who} verkauft {when} rote Äpfel.",
                                                       "{who} sucht {when} den Schlüssel.",
                                                       "{when} wäscht {who} das Auto.",
                                                       "{who} erzählt {when} eine Geschichte.",
                                                       "{who} sieht {when} einen Film.",
                                                       "{when} isst {who} einen Apfel.",
                                                       "{who} schwimmt {when} im See.",
                                                       "{who} ruft {when} im Büro an.",
                                                       "{when} reist {who} ans Meer.",
                                                       "{who} geht {when} in die Schule.",
                                                       "{who} repariert {when} das Radio.",
                                                       "{when} trägt {who} eine schwere Tasche.",
                                                       "{who} trinkt {when} kaltes Wasser.",
                                                       "{who} hilft {when} den Kindern.",
                                                       "{when} vergisst {who} den Schirm.",
                                                       "{who} macht {when} ein schönes Bild.",
                                                       "{who} tanzt {when} auf dem Fest.",
                                                       "{when} bezahlt {who} die Rechnung.",
                                                       "{who} läuft {when} zum Bus.",
                                                       "{who} füttert {when} die Vögel.",
                                                       "{when} trägt {who} einen warmen Mantel."};

}  // namespace

LanguageText english_text() { return {"English", "en-us", kEnglishWho, kEnglishWhen, kEnglishTemplates}; }

LanguageText german_text() { return {"German", "de", kGermanWho, kGermanWhen, kGermanTemplates}; }

}  // namespace retune::synth
