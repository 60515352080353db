"""Ready-made configurations; a wheel installs them as `tf_sigma_vae.configs`."""
