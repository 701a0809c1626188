"""ProfilerContext.profile_function takes no notice of the context's name."""


class ProfilerContext:
    def profile_function(self, function, args=None, kwargs=None):
        profile, result = profile_subject(subject_of(function, args, kwargs), self.settings)
        self.profiles.append(profile)
        return result
