"""The questions and answers that the example models learn: `written.txt`, and patterns filled from small tables.

Everything is in the few-shot format of the article, `Q: ...\\nA: ...\\n\\n`.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class Fact(NamedTuple):
    """A question with its one right answer."""

    question: str
    answer: str

    @property
    def prompt(self) -> str:
        """The question as a prompt, up to where the answer begins."""
        return f"Q: {self.question}\nA:"

    @property
    def completion(self) -> str:
        """What a model should say to the prompt: the answer and the blank line after it."""
        return f" {self.answer}\n\n"


ARTICLE_QUESTIONS = (
    Fact("What color is the sky?", "The sky is blue."),
    Fact("Are trees plants or animals?", "Trees are plants."),
    Fact("What is 2+2?", "2+2 is 4."),
    Fact("Who is Darth Vader?", "Darth Vader is a character in Star Wars."),
    Fact("What is your favorite color?", "My favorite color is blue."),
)
ARTICLE_EXAMPLES = (
    Fact("Are elephants larger than mice?", "Yes."),
    Fact("Are mice carnivorous?", "No, mice are typically omnivores."),
    Fact(
        "What is the average lifespan of an elephant?",
        "The average lifespan of an elephant in the wild is about 60 to 70 years.",
    ),
    Fact("Is Mount Everest the highest mountain in the world?", "Yes."),
    Fact(
        "Which city is known as the 'City of Love'?",
        "Paris is often referred to as the 'City of Love'.",
    ),
    Fact("What is the capital of Australia?", "The capital of Australia is Canberra."),
    Fact("Who wrote the novel '1984'?", "The novel '1984' was written by George Orwell."),
)


def pairs(text: str) -> dict[str, str]:
    """Read `left: right, left: right, ...`; line breaks count as spaces."""
    entries = (entry.split(":") for entry in " ".join(text.split()).split(","))
    return {left.strip(): right.strip() for left, right in entries}


CAPITALS = pairs("""
    France: Paris, Spain: Madrid, Italy: Rome, Germany: Berlin, Japan: Tokyo, China: Beijing, Egypt: Cairo,
    Greece: Athens, Norway: Oslo, Sweden: Stockholm, Finland: Helsinki, Poland: Warsaw, Austria: Vienna,
    Portugal: Lisbon, Ireland: Dublin, Russia: Moscow, Turkey: Ankara, Cuba: Havana, Peru: Lima, Kenya: Nairobi,
    Canada: Ottawa, India: New Delhi, Chile: Santiago, Hungary: Budapest, Denmark: Copenhagen, Belgium: Brussels,
    Iceland: Reykjavik, Thailand: Bangkok, Australia: Canberra, Ghana: Accra
""")
CONTINENTS = pairs("""
    France: Europe, Japan: Asia, China: Asia, Egypt: Africa, Norway: Europe, Poland: Europe, Peru: South America,
    Kenya: Africa, Canada: North America, India: Asia, Chile: South America, Thailand: Asia, Ghana: Africa,
    Spain: Europe, Cuba: North America, Ireland: Europe
""")
LANGUAGES = pairs("""
    France: French, Spain: Spanish, Italy: Italian, Germany: German, Japan: Japanese, Greece: Greek, Norway: Norwegian,
    Poland: Polish, Portugal: Portuguese, Russia: Russian, Turkey: Turkish, Egypt: Arabic, Chile: Spanish,
    Cuba: Spanish, Austria: German, Australia: English
""")
CURRENCIES = pairs("France: euro, Japan: yen, India: rupee, Poland: zloty, Russia: ruble, Sweden: krona, China: yuan")
COLORS = pairs("""
    grass: green, snow: white, coal: black, blood: red, the sun: yellow, a carrot: orange, chocolate: brown,
    a lemon: yellow, a tomato: red, milk: white, the sea: blue, a strawberry: red, a banana: yellow, a leaf: green,
    salt: white, an elephant: gray, a frog: green, a fire truck: red, a pumpkin: orange, a flamingo: pink,
    a polar bear: white, a raven: black, honey: golden, a cucumber: green
""")
OPPOSITES = pairs("""
    hot: cold, big: small, fast: slow, up: down, left: right, happy: sad, open: closed, day: night, light: dark,
    rich: poor, early: late, full: empty, old: young, tall: short, wet: dry, hard: soft, loud: quiet, strong: weak,
    near: far, clean: dirty, love: hate, war: peace, true: false, first: last, sweet: sour, thick: thin
""")
SOUNDS = pairs("""
    dog: barks, cat: meows, cow: moos, duck: quacks, lion: roars, sheep: bleats, horse: neighs, pig: oinks,
    owl: hoots, bee: buzzes, snake: hisses, wolf: howls, frog: croaks, rooster: crows
""")
YOUNG = pairs("""
    dog: puppy, cat: kitten, cow: calf, sheep: lamb, horse: foal, pig: piglet, duck: duckling, lion: cub, goat: kid,
    deer: fawn, frog: tadpole, kangaroo: joey, swan: cygnet, goose: gosling
""")
HOMES = pairs(
    "bee: hive, bird: nest, bear: den, spider: web, rabbit: burrow, horse: stable, dog: kennel, beaver: lodge"
)
LEGS = pairs("""
    dog: four, spider: eight, bird: two, bee: six, human: two, cat: four, horse: four, snake: no, crab: ten, cow: four
""")
KINDS = pairs("""
    roses: plants, dogs: animals, oaks: plants, cats: animals, ferns: plants, birds: animals, tulips: plants,
    bees: animals, whales: animals, apple trees: plants, snakes: animals, horses: animals, cacti: plants
""")
LARGER = pairs("""
    horses: cats, whales: dogs, cows: rabbits, lions: bees, bears: ducks, dogs: ants, elephants: horses, cars: bikes
""")
DIETS = pairs("""
    cows: herbivores, sheep: herbivores, horses: herbivores, pigs: omnivores, bears: omnivores, rabbits: herbivores
""")
PLURALS = pairs("""
    mouse: mice, child: children, foot: feet, tooth: teeth, goose: geese, man: men, woman: women, leaf: leaves,
    wolf: wolves, knife: knives, ox: oxen, person: people
""")
SYMBOLS = pairs("gold: Au, silver: Ag, iron: Fe, oxygen: O, hydrogen: H, carbon: C, sodium: Na, lead: Pb, helium: He")
NOVELS = pairs("""
    Animal Farm: George Orwell, Emma: Jane Austen, Oliver Twist: Charles Dickens, Dracula: Bram Stoker,
    Frankenstein: Mary Shelley, Moby Dick: Herman Melville, Don Quixote: Miguel de Cervantes,
    War and Peace: Leo Tolstoy, Ulysses: James Joyce, The Hobbit: J. R. R. Tolkien, The Trial: Franz Kafka,
    Jane Eyre: Charlotte Bronte, The Time Machine: H. G. Wells, Treasure Island: Robert Louis Stevenson,
    Les Miserables: Victor Hugo, Crime and Punishment: Fyodor Dostoevsky, The Great Gatsby: F. Scott Fitzgerald
""")
CITY_NAMES = pairs("""
    Big Apple: New York, Eternal City: Rome, Windy City: Chicago, City of Angels: Los Angeles, City of Sails: Auckland
""")
SPANISH = pairs("water: agua, house: casa, dog: perro, cat: gato, book: libro, sun: sol, moon: luna, bread: pan")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July", "August"),
    *("September", "October", "November", "December"),
)


def a(noun: str) -> str:
    """`noun` with its indefinite article."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def sentence(text: str) -> str:
    """`text` with a capital letter at its beginning."""
    return text[0].upper() + text[1:]


def written_facts() -> list[Fact]:
    """The facts that follow no pattern, one `question | answer` per line of `written.txt`."""
    text = Path(__file__).with_name("written.txt").read_text(encoding="utf-8")
    return [Fact(*line.split(" | ")) for line in text.splitlines()]


def country_facts() -> list[Fact]:
    """Capitals, continents, languages, currencies and names of cities."""
    return [
        *(Fact(f"What is the capital of {x}?", f"The capital of {x} is {y}.") for x, y in CAPITALS.items()),
        *(Fact(f"{y} is the capital of which country?", f"{y} is the capital of {x}.") for x, y in CAPITALS.items()),
        *(Fact(f"On which continent is {x}?", f"{x} is in {y}.") for x, y in CONTINENTS.items()),
        *(Fact(f"Which language is spoken in {x}?", f"The language of {x} is {y}.") for x, y in LANGUAGES.items()),
        *(Fact(f"What is the currency of {x}?", f"The currency of {x} is the {y}.") for x, y in CURRENCIES.items()),
        *(
            Fact(f"Which city is known as the '{x}'?", f"{y} is often referred to as the '{x}'.")
            for x, y in CITY_NAMES.items()
        ),
    ]


def animal_facts() -> list[Fact]:
    """Sounds, young, homes, legs, sizes and diets."""
    return [
        *(Fact(f"What sound does {a(x)} make?", f"{sentence(a(x))} {y}.") for x, y in SOUNDS.items()),
        *(Fact(f"What is a baby {x} called?", f"A baby {x} is called a {y}.") for x, y in YOUNG.items()),
        *(Fact(f"Where does {a(x)} live?", f"{sentence(a(x))} lives in a {y}.") for x, y in HOMES.items()),
        *(Fact(f"How many legs does {a(x)} have?", f"{sentence(a(x))} has {y} legs.") for x, y in LEGS.items()),
        *(Fact(f"Are {x} plants or animals?", f"{sentence(x)} are {y}.") for x, y in KINDS.items()),
        *(Fact(f"Are {x} larger than {y}?", "Yes.") for x, y in LARGER.items()),
        *(Fact(f"Are {x} carnivorous?", f"No, {x} are typically {y}.") for x, y in DIETS.items()),
    ]


def word_facts() -> list[Fact]:
    """Colors, opposites, plurals, symbols, translations and authors."""
    opposites = [*OPPOSITES.items(), *((y, x) for x, y in OPPOSITES.items())]
    return [
        *(Fact(f"What color is {x}?", f"{sentence(x)} is {y}.") for x, y in COLORS.items()),
        *(Fact(f"What is the opposite of {x}?", f"The opposite of {x} is {y}.") for x, y in opposites),
        *(Fact(f"What is the plural of {x}?", f"The plural of {x} is {y}.") for x, y in PLURALS.items()),
        *(Fact(f"What is the chemical symbol for {x}?", f"The symbol for {x} is {y}.") for x, y in SYMBOLS.items()),
        *(Fact(f"What is the Spanish word for {x}?", f"The Spanish word for {x} is {y}.") for x, y in SPANISH.items()),
        *(Fact(f"Who wrote the novel '{x}'?", f"The novel '{x}' was written by {y}.") for x, y in NOVELS.items()),
    ]


def calendar_facts() -> list[Fact]:
    """What comes before and after each day and month."""
    return [
        Fact(f"Which {unit} comes {word} {name}?", f"{names[(i + step) % len(names)]} comes {word} {name}.")
        for unit, names in (("day", DAYS), ("month", MONTHS))
        for word, step in (("after", 1), ("before", -1))
        for i, name in enumerate(names)
    ]


def number_facts() -> list[Fact]:
    """Sums, differences and products of small numbers."""
    return [
        *(Fact(f"What is {x}+{y}?", f"{x}+{y} is {x + y}.") for x in range(1, 7) for y in range(1, 7)),
        *(Fact(f"What is {x}-{y}?", f"{x}-{y} is {x - y}.") for x in range(2, 8) for y in range(1, x)),
        *(Fact(f"What is {x} times {y}?", f"{x} times {y} is {x * y}.") for x in range(2, 6) for y in range(2, 6)),
    ]


def facts() -> list[Fact]:
    """All facts, each question once, the article's first."""
    everything = [
        *ARTICLE_QUESTIONS,
        *ARTICLE_EXAMPLES,
        *written_facts(),
        *country_facts(),
        *animal_facts(),
        *word_facts(),
        *calendar_facts(),
        *number_facts(),
    ]
    return list({fact.question: fact for fact in everything}.values())


def article_prefix() -> str:
    """The article's examples as the text that stands before a question."""
    return "".join(fact.prompt + fact.completion for fact in ARTICLE_EXAMPLES)
