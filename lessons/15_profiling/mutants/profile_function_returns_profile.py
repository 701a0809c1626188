"""ProfilerContext.profile_function returns the profile."""


class ProfilerContext:
    def profile_function(self, function, args=None, kwargs=None):
        profile, _ = profile_subject(subject_of(function, args, kwargs), self.settings)
        self.profiles.append(replace(profile, name=self.name or profile.name))
        return profile
