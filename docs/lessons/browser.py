# %% [markdown]
# # A lesson
# Text.
# %%
print(1 + 1)
