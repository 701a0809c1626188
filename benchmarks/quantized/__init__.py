"""Models on codes: what they lose, what they weigh, and how fast they are beside float32 and others."""
