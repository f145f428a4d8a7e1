from hypothesis import settings

# A slow machine is no failure.
settings.register_profile("imbdet", deadline=None)
settings.load_profile("imbdet")
