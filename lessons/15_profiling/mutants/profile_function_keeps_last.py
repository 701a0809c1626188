"""ProfilerContext.profile_function forgets the profiles before."""


class ProfilerContext:
    def profile_function(self, function, args=None, kwargs=None):
        profile, result = profile_subject(subject_of(function, args, kwargs), self.settings)
        self.profiles = [replace(profile, name=self.name or profile.name)]
        return result
