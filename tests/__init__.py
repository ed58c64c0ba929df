"""The tests, in rooms by what they need: unit (nothing), store (a server), crash, cli…"""
