#include <array>

#include "training/synth/sentences.h"

namespace retune::synth {

namespace {

using std::string_view;

constexpr std::array<string_view, 14> kSpanishWho{
    "el profesor",     "mi hermana", "nuestro vecino", "el niño pequeño", "el viejo señor",
    "una mujer joven", "el médico",  "mi padre",       "el agricultor",   "su hermano",
    "el panadero",     "su madre",   "la muchacha",    "nuestro amigo"};
constexpr std::array<string_view, 8> kSpanishWhen{"hoy",      "esta mañana", "cada día",       "esta noche",
                                                  "el lunes", "el domingo",  "en el invierno", "después de comer"};
constexpr std::array<string_view, 40> kSpanishTemplates{
    "{who} prepara la sopa {when}.",        "{when} {who} lee un libro.",
    "{who} escribe una carta {when}.",      "{who} compra pan fresco {when}.",
    "{when} {who} toma un café.",           "{who} toca el piano {when}.",
    "{who} pasea por el parque {when}.",    "{when} {who} duerme en el sofá.",
    "{who} limpia la cocina {when}.",       "{who} abre la ventana {when}.",
    "{who} cierra la puerta {when}.",       "{when} {who} canta una canción.",
    "{who} aprende español {when}.",        "{who} va al trabajo {when}.",
    "{when} {who} monta en bicicleta.",     "{who} espera el tren {when}.",
    "{who} pinta la casa {when}.",          "{when} {who} trabaja en el jardín.",
    "{who} visita el museo {when}.",        "{who} vende manzanas rojas {when}.",
    "{who} busca la llave {when}.",         "{when} {who} lava el coche.",
    "{who} cuenta una historia {when}.",    "{who} mira una película {when}.",
    "{when} {who} come una manzana.",       "{who} nada en el lago {when}.",
    "{who} llama a la oficina {when}.",     "{when} {who} viaja a la playa.",
    "{who} llega a la escuela {when}.",     "{who} repara la radio {when}.",
    "{when} {who} lleva una bolsa pesada.", "{who} bebe agua fría {when}.",
    "{who} ayuda a los niños {when}.",      "{when} {who} olvida el paraguas.",
    "{who} saca una foto {when}.",          "{who} baila en la fiesta {when}.",
    "{who} paga la cuenta {when}.",         "{when} {who} corre al autobús.",
    "{who} alimenta a los pájaros {when}.", "{who} lleva un abrigo rojo {when}."};

constexpr std::array<string_view, 14> kFrenchWho{
    "le professeur", "ma sœur",    "notre voisin", "le petit garçon", "le vieil homme", "une jeune femme", "le médecin",
    "mon père",      "le fermier", "son frère",    "le boulanger",    "sa mère",        "la jeune fille",  "notre ami"};
constexpr std::array<string_view, 8> kFrenchWhen{"aujourd'hui", "ce matin", "chaque jour", "ce soir",
                                                 "lundi",       "dimanche", "en hiver",    "après le repas"};
constexpr std::array<string_view, 40> kFrenchTemplates{"{who} prépare la soupe {when}.",
                                                       "{when} {who} lit un livre.",
                                                       "{who} écrit une lettre {when}.",
                                                       "{who} achète du pain frais {when}.",
                                                       "{when} {who} boit un café.",
                                                       "{who} joue du piano {when}.",
                                                       "{who} marche dans le parc {when}.",
                                                       "{when} {who} dort sur le canapé.",
                                                       "{who} nettoie la cuisine {when}.",
                                                       "{who} ouvre la fenêtre {when}.",
                                                       "{who} ferme la porte {when}.",
                                                       "{when} {who} chante une chanson.",
                                                       "{who} apprend le français {when}.",
                                                       "{who} part au travail {when}.",
                                                       "{when} {who} fait du vélo.",
                                                       "{who} attend le train {when}.",
                                                       "{who} peint la maison {when}.",
                                                       "{when} {who} travaille au jardin.",
                                                       "{who} visite le musée {when}.",
                                                       "{who} vend des pommes rouges {when}.",
                                                       "{who} cherche la clé {when}.",
                                                       "{when} {who} lave la voiture.",
                                                       "{who} raconte une histoire {when}.",
                                                       "{who} regarde un film {when}.",
                                                       "{when} {who} mange une pomme.",
                                                       "{who} nage dans le lac {when}.",
                                                       "{who} appelle le bureau {when}.",
                                                       "{when} {who} voyage à la mer.",
                                                       "{who} arrive à l'école {when}.",
                                                       "{who} répare la radio {when}.",
                                                       "{when} {who} porte un sac très lourd.",
                                                       "{who} boit de l'eau froide {when}.",
                                                       "{who} aide les enfants {when}.",
                                                       "{when} {who} oublie le parapluie.",
                                                       "{who} prend une photo {when}.",
                                                       "{who} danse à la fête {when}.",
                                                       "{who} paie l'addition {when}.",
                                                       "{when} {who} court vers le bus.",
                                                       "{who} nourrit les oiseaux {when}.",
                                                       "{who} porte un manteau rouge {when}."};

constexpr std::array<string_view, 14> kItalianWho{
    "il professore",     "mia sorella", "il nostro vicino", "il bambino",     "il vecchio signore",
    "una giovane donna", "il medico",   "mio padre",        "il contadino",   "suo fratello",
    "il fornaio",        "sua madre",   "la ragazza",       "il nostro amico"};
constexpr std::array<string_view, 8> kItalianWhen{"oggi",   "questa mattina", "ogni giorno", "stasera",
                                                  "lunedì", "la domenica",    "d'inverno",   "dopo pranzo"};
constexpr std::array<string_view, 40> kItalianTemplates{
    "{who} prepara la zuppa {when}.",        "{when} {who} legge un libro.",      "{who} scrive una lettera {when}.",
    "{who} compra il pane fresco {when}.",   "{when} {who} beve un caffè.",       "{who} suona il pianoforte {when}.",
    "{who} cammina nel parco {when}.",       "{when} {who} dorme sul divano.",    "{who} pulisce la cucina {when}.",
    "{who} apre la finestra {when}.",        "{who} chiude la porta {when}.",     "{when} {who} canta una canzone.",
    "{who} impara l'italiano {when}.",       "{who} va al lavoro {when}.",        "{when} {who} prende la bicicletta.",
    "{who} aspetta il treno {when}.",        "{who} dipinge la casa {when}.",     "{when} {who} lavora nel giardino.",
    "{who} visita il museo {when}.",         "{who} vende le mele rosse {when}.", "{who} cerca la chiave {when}.",
    "{when} {who} lava la macchina.",        "{who} racconta una storia {when}.", "{who} guarda un film {when}.",
    "{when} {who} mangia una mela.",         "{who} nuota nel lago {when}.",      "{who} chiama l'ufficio {when}.",
    "{when} {who} viaggia verso il mare.",   "{who} arriva a scuola {when}.",     "{who} ripara la radio {when}.",
    "{when} {who} porta una borsa pesante.", "{who} beve l'acqua fredda {when}.", "{who} aiuta i bambini {when}.",
    "{when} {who} dimentica l'ombrello.",    "{who} fa una bella foto {when}.",   "{who} balla alla festa {when}.",
    "{who} paga il conto {when}.",           "{when} {who} corre all'autobus.",   "{who} nutre gli uccelli {when}.",
    "{who} porta un cappotto rosso {when}."};

}  // namespace

LanguageText spanish_text() { return {"Spanish", "es", kSpanishWho, kSpanishWhen, kSpanishTemplates}; }

LanguageText french_text() { return {"French", "fr", kFrenchWho, kFrenchWhen, kFrenchTemplates}; }

LanguageText italian_text() { return {"Italian", "it", kItalianWho, kItalianWhen, kItalianTemplates}; }

}  // namespace retune::synth
