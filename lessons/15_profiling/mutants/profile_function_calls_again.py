"""ProfilerContext.profile_function calls the function once more for its result."""


class ProfilerContext:
    def profile_function(self, function, args=None, kwargs=None):
        profile, _ = profile_subject(subject_of(function, args, kwargs), self.settings)
        self.profiles.append(replace(profile, name=self.name or profile.name))
        return function(*(args or ()), **(kwargs or {}))
