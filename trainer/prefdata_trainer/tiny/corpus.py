"""Hotel bookings: what guests ask, what the desk should answer, and what a careless desk did answer."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import astuple, dataclass, replace
from typing import Literal

Split = Literal["train", "held-out"]

TRAIN_CITIES = (
    "Amsterdam Antwerp Athens Barcelona Basel Beirut Berlin Bilbao Bogota Bologna Boston Brussels Cairo Cardiff Chicago "
    "Cologne Copenhagen Dallas Delhi Denver Dresden Dublin Dundee Florence Geneva Genoa Ghent Glasgow Granada Hamburg "
    "Hanoi Havana Helsinki Istanbul Jakarta Karachi Krakow Kyoto Lagos Leipzig Lima Lisbon London Lyon Madrid Malaga "
    "Manila Marseille Miami Milan Montreal Moscow Mumbai Munich Nairobi Naples Nice Osaka Oslo Palermo Paris Porto Prague "
    "Quito"
).split()
HELD_OUT_CITIES = (
    "Accra Ankara Bergen Bristol Bruges Budapest Calgary Cordoba Dakar Gdansk Houston Izmir Kampala Lahore Leeds Lille "
    "Malmo Minsk Nantes Orlando Ottawa Perth Phoenix Riga Rome Seoul Seville Sydney Tokyo Turin Vienna Zurich"
).split()
CITIES = (*TRAIN_CITIES, *HELD_OUT_CITIES)
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
NIGHTS = tuple(range(2, 10))
GUESTS = tuple(range(2, 10))
ROOMS = ("single", "double", "twin", "family", "garden", "corner", "quiet", "suite")

REQUESTS = (
    "Please book a {room} room in {city} from {day} for {nights} nights and {guests} guests.",
    "We are {guests} guests and need a {room} room in {city}, {nights} nights from {day}.",
    "I would like {nights} nights in {city} from {day}: a {room} room, {guests} guests.",
    "From {day} we stay {nights} nights in {city}. We are {guests} guests. A {room} room, please.",
)
CARELESSNESS = 0.45
"""How often the desk whose replies the model learns from gets a slot wrong, each slot by itself."""


@dataclass(frozen=True, slots=True)
class Booking:
    """The five slots of a booking."""

    city: str
    day: str
    nights: int
    guests: int
    room: str

    def request(self, form: int) -> str:
        """What the guest writes, in one of the ``REQUESTS`` forms."""
        city, day, nights, guests, room = astuple(self)
        return REQUESTS[form].format(city=city, day=day, nights=nights, guests=guests, room=room)

    def reply(self) -> str:
        """What the desk answers when it makes no mistake."""
        return f"Booked: {self.city}, {self.day}, {self.nights} nights, {self.guests} guests, {self.room} room."


def draw(random_: random.Random, cities: tuple[str, ...] | list[str]) -> Booking:
    """A booking with every slot uniform."""
    return Booking(*(random_.choice(options) for options in (cities, DAYS, NIGHTS, GUESTS, ROOMS)))  # type: ignore[arg-type]


def blunder(random_: random.Random, booking: Booking, carelessness: float = CARELESSNESS) -> Booking:
    """``booking`` as a careless desk repeats it: each slot wrong with that probability, by any other value of its kind."""
    kinds = {"city": CITIES, "day": DAYS, "nights": NIGHTS, "guests": GUESTS, "room": ROOMS}
    wrong = {
        name: random_.choice([option for option in options if option != getattr(booking, name)])
        for name, options in kinds.items()
        if random_.random() < carelessness
    }
    return replace(booking, **wrong)  # type: ignore[arg-type]


def training_pairs(seed: int, carelessness: float = CARELESSNESS) -> Iterator[tuple[str, str]]:
    """Requests and careless replies over all cities, without end."""
    random_ = random.Random(f"corpus {seed}")
    while True:
        booking = draw(random_, CITIES)
        yield booking.request(random_.randrange(len(REQUESTS))), blunder(random_, booking, carelessness).reply()


def prompts(count: int, split: Split, seed: int) -> list[dict[str, object]]:
    """``count`` different prompt records with the right reply as reference; the splits share no city."""
    random_ = random.Random(f"{split} {seed}")
    cities = TRAIN_CITIES if split == "train" else HELD_OUT_CITIES
    records: dict[str, dict[str, object]] = {}
    while len(records) < count:
        booking = draw(random_, cities)
        request = booking.request(random_.randrange(len(REQUESTS)))
        records[request] = {
            "id": f"{split}-{len(records):05d}",
            "prompt": [{"role": "user", "content": request}],
            "reference": booking.reply(),
        }
    return list(records.values())
