"""Which layer computes with how many bits, under budgets: sensitivities and costs in, a QuantPlan out."""
