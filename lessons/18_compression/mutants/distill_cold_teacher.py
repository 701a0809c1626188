"""distillation_loss does not heat the teacher's logits."""


def distillation_loss(student_logits, teacher_logits, labels, temperature=4.0, hard=0.1):
    _check(temperature, hard)
    if student_logits.shape != teacher_logits.shape or labels.shape != student_logits.shape[:-1]:
        raise ShapeError(f"{student_logits.shape}, {teacher_logits.shape}, {labels.shape}")
    rows = student_logits.reshape(-1, student_logits.shape[-1])
    log_q = log_softmax(teacher_logits.detach())
    log_p = log_softmax(student_logits * (1 / temperature))
    soft = (log_q.exp() * (log_q - log_p)).sum(-1).mean() * temperature**2
    return soft * (1 - hard) + cross_entropy(rows, labels.reshape(-1)) * hard
