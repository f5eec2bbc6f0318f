"""The embedded default of ``prefdata demo``: a task, a language model trained on it from scratch, and a local server.

Nothing here comes from a hub. The task is hotel bookings: a guest names a city, a day, the nights, the guests and the
kind of room, and the desk must repeat all five. The model learns from a careless desk (:mod:`.corpus`), so about half
of what it repeats is wrong, and even its better answers are seldom right throughout. Imitating them stalls where they
are; what the better ones have over the worse ones is what preference training can follow further.
"""
